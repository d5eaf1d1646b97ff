//! Several futures of one task, run together.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs all to their ends. The results come in the order of the futures.
pub(crate) async fn all<'a, T: Send>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'a>,
) -> Vec<T> {
    let mut running: Vec<Boxed<'a, T>> = futures.into_iter().map(|future| Box::pin(future) as _).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// Runs all until one has ended. Never ends if there are none.
pub(crate) async fn any<'a>(futures: impl IntoIterator<Item = impl Future<Output = ()> + Send + 'a>) {
    let mut running: Vec<Boxed<'a, ()>> = futures.into_iter().map(|future| Box::pin(future) as _).collect();
    poll_fn(|context| {
        let ended = running.iter_mut().any(|future| future.as_mut().poll(context).is_ready());
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn results_come_in_the_order_of_the_futures_whatever_ends_first() {
        let (send, receive) = oneshot::channel();
        let first: Boxed<'_, u8> = Box::pin(async { receive.await.expect("sent") });
        let second: Boxed<'_, u8> = Box::pin(async move {
            send.send(1).expect("received");
            2
        });
        assert_eq!(all([first, second]).await, [1, 2]);
    }

    #[tokio::test]
    async fn one_end_is_enough_for_any() {
        let never: Boxed<'_, ()> = Box::pin(std::future::pending());
        let ready: Boxed<'_, ()> = Box::pin(async {});
        any([never, ready]).await;
    }
}
