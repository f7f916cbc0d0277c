//! Clients that wait for a device: what a waiting stream costs, and how soon it hears of the answer.

use std::time::Instant;

use anyhow::{Context as _, bail};
use countersign_proto::v1::{ChallengeState, WatchChallengeResponse};
use tonic::Streaming;

use crate::{
    deployment::Server,
    load::over_grpc::{GrpcClient, Question},
    measure::{Begin, Latencies, Measured, Row, drive, megabytes},
    messages::Mailbox,
    people::Pending,
    process,
};

/// Streams on one connection: what clients that keep to HTTP/2's usual hundred would open.
const PER_CONNECTION: usize = 90;

/// Somebody who waits.
struct Watching {
    question: Question,
    states: Streaming<WatchChallengeResponse>,
}

/// Opens a stream for each of `people`, then lets the devices of the first `answers` of them answer, one after another, while
/// all others go on waiting. The row's latency is from the device's answer to the state in the client's hands. The other answer
/// is the memory of a thousand streams, in megabytes.
///
/// # Errors
///
/// Something was refused.
pub async fn watch(
    server: &Server,
    callers: usize,
    people: Vec<Pending>,
    mailbox: Mailbox,
    answers: usize,
) -> anyhow::Result<(Row, f64)> {
    let count = people.len();
    let asking = GrpcClient::connect(&server.grpc).await?;
    let client = asking.clone();
    let ask = move |pending| client.clone().ask(pending, mailbox.clone());
    let (questions, _) = drive(people, callers, ask).await.context("asking devices")?;

    let before = process::memory(server.pid)?.resident;
    let mut waiting = Vec::with_capacity(count);
    let mut client = asking.clone();
    for (number, question) in questions.into_iter().enumerate() {
        if number % PER_CONNECTION == 0 {
            client = GrpcClient::connect(&server.grpc).await?;
        }
        let mut states = client.clone().watch(&question).await?;
        expect(&mut states, ChallengeState::Pending).await?;
        waiting.push(Watching { question, states });
    }
    let grown = process::memory(server.pid)?.resident.saturating_sub(before);

    let begin = Begin::now(server.pid)?;
    let mut latencies = Latencies::new()?;
    let mut waiting = waiting.into_iter();
    for Watching { question, mut states } in waiting.by_ref().take(answers) {
        let start = Instant::now();
        let (answered, heard) = tokio::join!(asking.clone().answer(&question), async {
            expect(&mut states, ChallengeState::Approved).await?;
            anyhow::Ok(start.elapsed())
        });
        answered?;
        latencies.record(heard?);
    }
    let measured = Measured { name: "device's answer, watched", pid: server.pid, callers: 1 };
    let row = measured.row(&begin.end(latencies.recorded(), latencies)?);
    drop(waiting);
    let streams = u32::try_from(count).context("fewer streams")?;
    Ok((row, megabytes(grown) * 1000.0 / f64::from(streams)))
}

async fn expect(states: &mut Streaming<WatchChallengeResponse>, wanted: ChallengeState) -> anyhow::Result<()> {
    match states.message().await?.map(|message| message.state()) {
        Some(state) if state == wanted => Ok(()),
        other => {
            let came = other.map_or("the end", |state| state.as_str_name());
            bail!("{} was expected, {came} came", wanted.as_str_name())
        }
    }
}
