//! What processes cost before anybody comes: how soon a site on embedded storage answers, and the memory of its one process,
//! and of the push processes of a fleet, at rest.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use crate::Common;
use crate::memory;
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Stage};
use crate::usage::approximate;

const AIM_ANSWER_S: f64 = 0.5;
const AIM_SITE_MB: f64 = 30.0;
const AIM_PUSH_MB: f64 = 15.0;
const PUSH_PROCESSES: u16 = 4;
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Measure how soon a new site answers, and what its processes take while nobody is there
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What all runs gave. Memory is in MB, of a million bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    /// From the start of the process until it is ready, on a data directory that it makes.
    answers_s: Spread,
    /// Resident, the whole site.
    site_mb: Spread,
    /// Resident, a push process.
    push_mb: Spread,
    /// The same, each page divided by the processes that share it: what one more adds to a machine.
    push_share_mb: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Start> {
    let [mut answers, mut site, mut push, mut push_share] = [const { Vec::new() }; 4];
    for number in 1..=options.common.runs() {
        eprintln!("crowd: start, run {number}");
        let one = OneProcess::start()?;
        answers.push(one.answered_after.as_secs_f64());
        memory::wait_for_rest(&[one.process.id()])?;
        site.push(mb_of(one.process.id(), "Rss")?);
    }
    let stage = Stage::set(&Needs { push: PUSH_PROCESSES, people: 1, ..Needs::default() })?;
    for _ in 1..=options.common.runs() {
        stage.restart_push()?;
        let processes = stage.push_processes();
        memory::wait_for_rest(&processes)?;
        let process = *processes.first().context("no push process")?;
        push.push(mb_of(process, "Rss")?);
        push_share.push(mb_of(process, "Pss")?);
    }
    Ok(Start {
        answers_s: Spread::of(answers),
        site_mb: Spread::of(site),
        push_mb: Spread::of(push),
        push_share_mb: Spread::of(push_share),
    })
}

fn mb_of(process: u32, field: &str) -> anyhow::Result<f64> {
    Ok(approximate(memory::of_process(process, field)?) / 1e6)
}

/// A site in one process on embedded storage, which ends with this value.
struct OneProcess {
    process: Child,
    answered_after: Duration,
    _data: tempfile::TempDir,
}

impl OneProcess {
    fn start() -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let began = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_miaosha"))
            .args(["serve", "--listen", &address.to_string(), "--data-dir"])
            .arg(data.path().join("site"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start miaosha")?;
        let mut one = Self { process, answered_after: Duration::ZERO, _data: data };
        while !is_ready(address) {
            if began.elapsed() > ANSWERS_WITHIN {
                bail!("the site was not ready within {ANSWERS_WITHIN:?}");
            }
            std::thread::sleep(ASK_EVERY);
        }
        one.answered_after = began.elapsed();
        Ok(one)
    }
}

impl Drop for OneProcess {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("crowd: a site was not ended: {error}");
        }
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

impl Report for Start {
    /// Of a push process, what it adds to a machine counts: a fleet has many, and their pages of the program are the same.
    fn reaches_aim(&self) -> bool {
        self.answers_s.median <= AIM_ANSWER_S
            && self.site_mb.median <= AIM_SITE_MB
            && self.push_share_mb.median <= AIM_PUSH_MB
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers_s, site_mb, push_mb, push_share_mb } = self;
        writeln!(f, "a new site on embedded storage is ready after {answers_s:.3} s")?;
        writeln!(
            f,
            "resident, nobody there: the whole site {site_mb:.1} MB, a push process of a fleet {push_mb:.1} MB"
        )?;
        writeln!(f, "one of {PUSH_PROCESSES} push processes, shared pages divided: {push_share_mb:.1} MB")?;
        writeln!(
            f,
            "aim            ready within {AIM_ANSWER_S} s, at most {AIM_SITE_MB:.0} MB, and {AIM_PUSH_MB:.0} MB for one more push process: {}",
            verdict(self)
        )
    }
}
