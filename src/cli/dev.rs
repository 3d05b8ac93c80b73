//! dev

use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub struct DevArgs {}

pub async fn run(args: DevArgs, stop: CancellationToken) -> Result<(), super::CliError> {
    let _ = (args, stop);
    todo!()
}
