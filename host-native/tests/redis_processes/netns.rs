//! A network namespace for one node, whose only link to the rest can be taken down: packets are lost, nobody is told.

use std::process::{Command, Stdio};

use rustix::process::getuid;

pub(crate) struct Namespace {
    name: String,
    link: String,
    /// Where the node finds whoever listens outside.
    pub(crate) host: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with it.
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(words: &[&str]) -> bool {
    let status = Command::new("ip").args(words).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Namespace {
    /// None where that is not allowed.
    pub(crate) fn make() -> Option<Self> {
        if !getuid().is_root() {
            return None;
        }
        let id = std::process::id();
        let (name, link) = (format!("zoocache-{id}"), format!("zc{id}"));
        let inner = format!("zi{id}");
        let net = format!("10.{}.{}", 200 + id / 250 % 50, id % 250);
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let host = format!("{net}.1");
        let made = Self { name, link, host };
        let inside = |words: &[&str]| ip(&[&["-n", &made.name], words].concat());
        let is_ready = ip(&["link", "add", &made.link, "type", "veth", "peer", "name", &inner])
            && ip(&["link", "set", &inner, "netns", &made.name])
            && ip(&["addr", "add", &format!("{}/30", made.host), "dev", &made.link])
            && ip(&["link", "set", &made.link, "up"])
            && inside(&["addr", "add", &format!("{net}.2/30"), "dev", &inner])
            && inside(&["link", "set", &inner, "up"]);
        is_ready.then_some(made)
    }

    /// What starts `program` inside. It becomes the program: its process id is that of the child.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Cuts it off, or ends that.
    pub(crate) fn cut(&self, is_cut: bool) -> bool {
        ip(&["link", "set", &self.link, if is_cut { "down" } else { "up" }])
    }
}
