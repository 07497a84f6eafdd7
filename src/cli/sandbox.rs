//! `crossdock sandbox`: serves simulated partners on loopback.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{Done, Globals};
use crate::app;
use crate::sandbox::{self, Fault, Server, Settings, World};

/// Serve simulated partners (Shopify, ShipHero, EasyPost, Stripe) on loopback, in their real wire formats.
#[derive(Debug, Args)]
pub struct Sandbox {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7071", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The same seed gives the same ids, people and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults to have, separated by commas, each with a chance if it is not that of --fault-rate: cut-after=0.1,webhook-lost.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    faults: Vec<String>,
    /// Chance of each fault of --faults, or of every fault if --faults is not given.
    #[arg(long, value_name = "0..1")]
    fault_rate: Option<f64>,
    /// Where webhooks go: the daemon's address (its accounts are then called like the partners), or shopify=URL; may be repeated.
    #[arg(long, value_name = "URL")]
    deliver_to: Vec<String>,
}

impl Sandbox {
    /// Serves until it is interrupted.
    ///
    /// # Errors
    /// When a flag makes no sense, or the address cannot be listened at.
    pub fn run(self, _: &Globals) -> Done {
        let mut settings = Settings::default();
        set_faults(&mut settings, &self.faults, self.fault_rate)?;
        let targets = sandbox::targets(&self.deliver_to)?;
        let world = World::new(self.seed, settings)?;
        super::block_on(async {
            let server = Server::start(world, self.listen, targets, app::http()?, app::clock()).await?;
            super::say(format_args!("The sandbox listens at http://{}", server.address()));
            for partner in sandbox::PARTNERS {
                super::say(format_args!("  {partner:<9} {}", server.base(partner)));
            }
            super::say(format_args!("  ledger    http://{}/_sandbox/ledger", server.address()));
            let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted?,
                _ = terminated.recv() => {}
            }
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// Sets faults from the words of the flags.
///
/// # Errors
/// When there is no such fault, or a chance is not between 0 and 1.
pub fn set_faults(settings: &mut Settings, words: &[String], rate: Option<f64>) -> Result<(), String> {
    let within = |rate: f64| {
        if (0.0..=1.0).contains(&rate) {
            Ok(rate)
        } else {
            Err(format!("{rate} is no chance between 0 and 1"))
        }
    };
    let usual = within(rate.unwrap_or(0.05))?;
    if words.is_empty() {
        if rate.is_some() {
            settings.all_faults(usual);
        }
        return Ok(());
    }
    for word in words {
        let (name, own) = match word.split_once('=') {
            Some((name, own)) => (name, within(own.parse().map_err(|_| format!("`{own}` is no number"))?)?),
            None => (word.as_str(), usual),
        };
        settings.faults.insert(name.parse::<Fault>()?, own);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_set_by_words() {
        let mut settings = Settings::default();
        set_faults(&mut settings, &["cut-after=0.5".to_owned(), "webhook-lost".to_owned()], Some(0.1))
            .unwrap();
        assert!(
            (settings.rate(Fault::CutAfter) - 0.5).abs() < 1e-9
                && (settings.rate(Fault::WebhookLost) - 0.1).abs() < 1e-9
        );
        assert!(settings.rate(Fault::Delay).abs() < 1e-9);
        assert!(set_faults(&mut settings, &["gremlins".to_owned()], None).unwrap_err().contains("cut-after"));
        assert!(set_faults(&mut settings, &[], Some(2.0)).is_err());
        set_faults(&mut settings, &[], Some(0.2)).unwrap();
        assert!(settings.rate(Fault::Delay) > 0.1);
    }
}
