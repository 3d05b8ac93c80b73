//! A new migration has to be compiled in; cargo looks only at what it is told of.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
