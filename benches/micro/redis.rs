//! A Redis of the benchmark's own, with the settings that are shipped.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
}

impl Redis {
    pub(crate) fn start(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // What is shipped, but for where it runs.
        let shipped = include_str!("../../deploy/redis.conf").lines();
        let mut lines: Vec<&str> = shipped
            .filter(|line| !line.starts_with("bind ") && !line.starts_with("dir "))
            .collect();
        let own = format!("bind 127.0.0.1\nport {port}\ndir {}", directory.display());
        lines.push(&own);
        let settings = directory.join("redis.conf");
        std::fs::write(&settings, lines.join("\n")).unwrap();
        let child = Command::new("redis-server")
            .arg(settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server; run `make setup` to install it");
        let redis = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is only a benchmark's: whether it was still there does not matter.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
