//! A TCP proxy inside the test: passes bytes on, cuts connections, stalls them.

#![allow(dead_code, reason = "each test uses its part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes pass.
    Pass,
    /// Bytes pass late.
    Slow,
    /// Connections stay open and nothing passes.
    Stall,
    /// Requests pass, and answers do not.
    Mute,
    /// Connections are cut, and new ones too.
    Refuse,
}

/// The proxy; it ends with the test.
#[derive(Debug, Clone)]
pub struct Proxy {
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    cuts: Arc<watch::Sender<u64>>,
    trap: Arc<Mutex<Option<(&'static str, Mode)>>>,
}

impl Proxy {
    /// In front of `target`, a port of this machine.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            mode: Arc::new(watch::Sender::new(Mode::Pass)),
            cuts: Arc::new(watch::Sender::new(0)),
            trap: Arc::default(),
        };
        let (mode, cuts, trap) = (proxy.mode.clone(), proxy.cuts.clone(), proxy.trap.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Before the look at the mode, so that a cut that comes now is not missed.
                let mut cut = cuts.subscribe();
                if *mode.borrow() == Mode::Refuse {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                let ways = (mode.subscribe(), mode.subscribe());
                let (mode, trap) = (mode.clone(), trap.clone());
                let spring = move |bytes: &[u8]| {
                    let mut trap = trap.lock().unwrap();
                    let here = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
                    if let Some((_, then)) = trap.take_if(|(text, _)| here(text)) {
                        mode.send_replace(then);
                    }
                };
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(&mut near_in, &mut far_out, ways.0, &[Mode::Stall], spring) => {}
                        () = pass(&mut far_in, &mut near_out, ways.1, &[Mode::Stall, Mode::Mute], |_| {}) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections; new ones are taken.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Each read waits a tenth of a second before it is passed on.
    pub fn slow(&self) {
        self.mode.send_replace(Mode::Slow);
    }

    /// Nothing passes from now on; connections stay open.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Requests pass from now on, and no answer comes back.
    pub fn mute(&self) {
        self.mode.send_replace(Mode::Mute);
    }

    /// Nothing passes from the first request on that has this text in it, nor that one.
    pub fn stall_at(&self, text: &'static str) {
        *self.trap.lock().unwrap() = Some((text, Mode::Stall));
    }

    /// The first request that has this text in it passes, and no answer comes back from then on.
    pub fn mute_at(&self, text: &'static str) {
        *self.trap.lock().unwrap() = Some((text, Mode::Mute));
    }

    /// Cuts all connections and takes no new ones.
    pub fn refuse(&self) {
        self.mode.send_replace(Mode::Refuse);
        self.cut();
    }

    /// Bytes pass again.
    pub fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

async fn pass(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut mode: watch::Receiver<Mode>,
    holds: &[Mode],
    read_by: impl Fn(&[u8]),
) {
    let mut bytes = vec![0_u8; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return };
        read_by(&bytes[..read]);
        if read == 0 || mode.wait_for(|mode| !holds.contains(mode)).await.is_err() {
            return;
        }
        if *mode.borrow() == Mode::Slow {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
