//! The `nats` command line's `nats request SUBJECT BODY [-H KEY:VALUE]`, as far as the page uses it: a script that hands
//! its arguments to this process, which sends the same message and writes the answer back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_nats::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was asked by it: the subject and the answer.
pub type Asked = Arc<Mutex<Vec<(String, async_nats::Message)>>>;

/// Puts the command into a folder and serves it for as long as the runtime lives.
pub async fn install(bin: &Path, client: async_nats::Client) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "#!/usr/bin/env bash\nexec 3<>/dev/tcp/127.0.0.1/{port}\nprintf '%s\\0' \"$@\" '' >&3\nanswer=$(cat <&3)\n\
         printf '%s\\n' \"$answer\"\n[ -n \"$answer\" ]\n"
    );
    let path = bin.join("nats");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let asked = Asked::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, &client, &seen).await;
        }
    });
    asked
}

/// One call. Where there is no answer nothing is written, and the command fails.
async fn serve(mut stream: TcpStream, client: &async_nats::Client, asked: &Asked) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\0\0") {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let arguments: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    let ["request", subject, body, rest @ ..] = arguments.as_slice() else { return };
    let mut headers = HeaderMap::new();
    for pair in rest.chunks(2) {
        let ["-H", header] = pair else { return };
        let Some((name, value)) = header.split_once(':') else { return };
        headers.insert(name, value.trim());
    }
    let request = async_nats::Request::new().headers(headers).payload((*body).to_owned().into());
    if let Ok(answer) = client.send_request((*subject).to_owned(), request).await {
        stream.write_all(&answer.payload).await.unwrap();
        asked.lock().unwrap().push(((*subject).to_owned(), answer));
    }
}
