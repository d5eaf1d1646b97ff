//! The running ATM's side: takes commands and answers them.
//!
//! Bounded: at most [`MAX_AT_ONCE`] are taken at a time; more wait in the socket's backlog, which the kernel
//! bounds. A client that does not write its request, or does not read its reply, is dropped in time.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{FRAME_TIME, Identity, MAX_REQUEST_BYTES, Request, read_frame, socket_path, write_frame};
use crate::patience::Patience;
use crate::reply::Reply;
use crate::session::Session;

/// How many commands are taken at a time.
const MAX_AT_ONCE: usize = 32;

/// How long to wait after the kernel refuses to accept, for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket of a running ATM. Removed when dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot take commands at {}: {why}; a shorter --data on a local disk may help", .path.display())]
pub struct BindError {
    /// The socket's path.
    path: PathBuf,
    /// The system's reason.
    why: io::Error,
}

impl ControlSocket {
    /// Opens the socket in the data directory, in place of one that a killed ATM left behind. Call it only while
    /// holding the directory, as a running node does: then no other ATM can be using that socket.
    ///
    /// # Errors
    /// When the system refuses, for example because the path is longer than a socket's may be.
    pub fn bind(data: &Path) -> Result<Self, BindError> {
        let path = socket_path(data);
        match open(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(why) => Err(BindError { path, why }),
        }
    }

    /// Takes and answers commands for ever.
    pub async fn serve(&self, me: Identity, session: Arc<Session>) -> ! {
        let places = Arc::new(Semaphore::new(MAX_AT_ONCE));
        loop {
            let place = places.clone().acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let session = session.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, me, &session).await {
                            tracing::debug!(%error, "drop control connection");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept control connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Were it left behind, the next ATM would replace it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, me: Identity, session: &Session) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let request = timeout(FRAME_TIME, read_frame(reader, MAX_REQUEST_BYTES)).await??;
    let reply = match serde_json::from_slice(&request) {
        Ok(request) => answer(request, me, session).await,
        Err(error) => Reply::usage(format_args!("this is no request: {error}")),
    };
    timeout(FRAME_TIME, write_frame(writer, reply.to_json().into_bytes())).await?
}

async fn answer(request: Request, me: Identity, session: &Session) -> Reply {
    let Request { to, command, timeout_ms } = request;
    if to != me {
        return Reply::usage(format_args!(
            "the ATM running there is {} at {}, not {} at {}: nothing was done",
            me.id, me.listen, to.id, to.listen
        ));
    }
    let patience = Patience::nearest(Duration::from_millis(timeout_ms));
    session.execute_line(&command, patience).await
}
