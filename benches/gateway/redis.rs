//! The Redis of a contestant.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Result,
    process::{Process, free_port},
};

/// A real server with what the durability needs, on a free port.
pub(crate) struct Redis {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Redis {
    pub(crate) fn start(directory: &Path, durability: &str) -> Result<Self> {
        let own = format!("bind 127.0.0.1\ndir {}\n", directory.display());
        let persistence = match durability {
            "memory" => "appendonly no\n",
            "everysec" => "appendfsync everysec\n",
            _ => "",
        };
        // What is shipped, but for where it runs and for how long a 200 lasts; the last line of a kind counts.
        let shipped = include_str!("../../deploy/redis.conf").lines();
        let lines = shipped.filter(|line| {
            !["bind ", "dir ", "maxmemory "]
                .iter()
                .any(|key| line.starts_with(key))
        });
        let mut text: String = lines.flat_map(|line| [line, "\n"]).collect();
        text.push_str(&own);
        text.push_str(persistence);
        let settings = directory.join("redis.conf");
        std::fs::write(&settings, text)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("redis-server");
        command.arg(&settings);
        command.args(["--port", &address.port().to_string()]);
        command.args(["--logfile", "redis.log"]);
        command.stdout(Stdio::null());
        let log = directory.join("redis.log");
        let mut process = Process::start(
            "redis-server (`make setup` installs it)",
            &mut command,
            &log,
        )?;
        process.wait_for(address)?;
        Ok(Self { process, address })
    }

    pub(crate) fn peak_mib(&self) -> Result<f64> {
        self.process.peak_mib()
    }

    /// Counts commands for that long.
    pub(crate) fn watch(&self, time: Duration) -> Result<Commands> {
        let end = Instant::now() + time;
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match stream.read(&mut buffer) {
                Ok(0) => return Err("Redis closed the connection".into()),
                Ok(read) => seen.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        // `+TIME [DATABASE ADDRESS] "COMMAND" ...`, where the address of what a script runs is `lua`.
        let seen = String::from_utf8_lossy(&seen);
        let lines = seen.lines().filter(|line| line.contains('['));
        let (inner, sent): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains(" lua] "));
        Ok(Commands {
            sent: sent.len(),
            run: sent.len() + inner.len(),
        })
    }
}

/// What a Redis had to do.
#[derive(Clone, Copy)]
pub(crate) struct Commands {
    /// By clients.
    pub(crate) sent: usize,
    /// Those and what their scripts ran.
    pub(crate) run: usize,
}
