//! The side of `exec`: hands one command over and waits for its reply.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{FRAME_TIME, Identity, MAX_REPLY_BYTES, Request, read_frame, socket_path, write_frame};
use crate::command::Command;
use crate::patience::Patience;
use crate::reply::{RefusedBy, Reply};

/// How much longer than the command's own patience its reply is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Hands the command to the ATM that runs on the data directory, and returns its reply. Ends within `patience`
/// and 15 seconds. Until the whole command is handed over nothing is done; from then on silence is an unknown
/// outcome.
pub async fn hand_over(to: Identity, data: &Path, command: &Command, patience: Patience) -> Reply {
    let stream = match timeout(FRAME_TIME, UnixStream::connect(socket_path(data))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return not_reached(to, data, &error),
        Err(_) => return not_reached(to, data, &io::ErrorKind::TimedOut.into()),
    };
    let (reader, writer) = stream.into_split();
    let timeout_ms = u64::try_from(patience.duration().as_millis()).unwrap_or(u64::MAX);
    let request = Request { to, command: command.to_string(), timeout_ms };
    // A request has text keys only, so it can be written as JSON.
    let frame = serde_json::to_vec(&request).unwrap_or_default();
    // Its line end goes last, and the ATM does nothing before it: a failure here means nothing was done.
    match timeout(FRAME_TIME, write_frame(writer, frame)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return not_reached(to, data, &error),
        Err(_) => return not_reached(to, data, &io::ErrorKind::TimedOut.into()),
    }
    match timeout(patience.duration() + GRACE, read_frame(reader, MAX_REPLY_BYTES)).await {
        Ok(Ok(frame)) => serde_json::from_slice(&frame)
            .unwrap_or_else(|error| silence(to, command, &format!("its answer cannot be read: {error}"))),
        Ok(Err(error)) => silence(to, command, &error.to_string()),
        Err(_) => silence(to, command, &format!("it took more than {:?}", patience.duration() + GRACE)),
    }
}

fn not_reached(to: Identity, data: &Path, error: &io::Error) -> Reply {
    let absent = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    let cause = if absent { String::new() } else { format!(" ({error})") };
    Reply::refused(
        RefusedBy::Atm,
        format_args!(
            "no ATM runs at {} with its data in {}{cause}: nothing was done",
            to.listen,
            data.display()
        ),
    )
}

fn silence(to: Identity, command: &Command, why: &str) -> Reply {
    let hint = match command {
        Command::Operate(operation) => {
            format!(
                "\"history {}\" shows whether it was done; look before you repeat it",
                operation.account()
            )
        }
        Command::Retry(_) => {
            "the same retry can be made again: the operation is done at most once".to_owned()
        }
        _ => "asking changes nothing; ask again".to_owned(),
    };
    Reply::Unknown {
        sentence: format!("unknown outcome: the ATM at {} did not answer: {why}", to.listen),
        ticket: None,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use raft_core::NodeId;
    use tokio::net::UnixListener;

    use super::*;

    fn me() -> Identity {
        Identity { id: NodeId::new(1), listen: ([127, 0, 0, 1], 6001).into() }
    }

    fn short() -> Patience {
        "20ms".parse().unwrap()
    }

    #[tokio::test]
    async fn where_no_atm_runs_it_says_so_and_nothing_was_done() {
        let data = tempfile::tempdir().unwrap();
        let absent = hand_over(me(), data.path(), &Command::Status, short()).await;
        // What a killed ATM leaves behind: a socket that nobody listens on.
        drop(UnixListener::bind(socket_path(data.path())).unwrap());
        let left_behind = hand_over(me(), data.path(), &Command::Status, short()).await;
        for reply in [absent, left_behind] {
            assert!(reply.to_string().starts_with("no ATM runs at 127.0.0.1:6001"), "{reply}");
            assert_eq!(reply.exit_code(), 1);
        }
    }

    #[tokio::test]
    async fn an_atm_that_dies_after_taking_the_command_leaves_its_outcome_unknown() {
        let data = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket_path(data.path())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_frame(&mut stream, 4096).await.unwrap()
        });
        let command: Command = "deposit alice 50".parse().unwrap();
        let reply = hand_over(me(), data.path(), &command, short()).await;
        assert!(reply.to_string().starts_with("unknown outcome: "), "{reply}");
        assert_eq!(reply.exit_code(), 3);
        assert!(reply.hint().unwrap_or_default().contains("history alice"));
        let request: Request = serde_json::from_slice(&server.await.unwrap()).unwrap();
        assert_eq!(request, Request { to: me(), command: "deposit alice 50.00".into(), timeout_ms: 20 });
    }
}
