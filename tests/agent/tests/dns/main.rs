//! The DNS proxy on real sockets: names of the mesh, servers behind it that answer, are dead, slow or
//! forged, and packets that nobody should send. No `dig`: a small client of its own asks.
#![expect(clippy::tests_outside_test_module, reason = "all of this is tests")]

mod pod;
mod scene;

use anyhow::{Result, ensure};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use meltemi_agent::dns::Order;
use scene::{Manner, Scene, Server, addresses, question, row, service};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A proxy with such a server behind it.
fn with(manner: Manner) -> Result<(Scene, Server)> {
    let runtime = Runtime::new()?;
    let server = Server::start(&runtime, manner)?;
    let scene = Scene::start(runtime, &[server.address], Order::InTurn)?;
    Ok((scene, server))
}

fn is(message: &Message, expected: &[&str]) -> Result<()> {
    let found = addresses(message);
    ensure!(found == expected, "{found:?}, not {expected:?}: {message}");
    Ok(())
}

fn code(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

#[test]
fn names_of_the_mesh_never_reach_a_server() -> Result<()> {
    let (scene, server) = with(Manner::Helpful)?;
    scene.tell([
        service("web", "shop", &["10.96.0.10"]),
        service("web", "other", &["10.96.0.11", "fd00::b"]),
        service("db", "shop", &["10.0.0.1", "10.0.0.2"]),
        service("db-0.db", "shop", &["10.0.0.1"]),
        row("api.example.com", &["240.240.0.1", "2001:2::f0f0:1"]),
        row("*.example.org", &["240.240.0.2"]),
    ])?;
    for (name, expected) in [
        ("web.", &["10.96.0.10"][..]),
        ("WEB.shop.", &["10.96.0.10"]),
        ("web.shop.svc.cluster.local.", &["10.96.0.10"]),
        ("web.other.shop.svc.cluster.local.", &["10.96.0.11"]),
        ("db.", &["10.0.0.1", "10.0.0.2"]),
        ("db-0.db.", &["10.0.0.1"]),
        ("api.example.com.shop.svc.cluster.local.", &["240.240.0.1"]),
        ("some.thing.example.org.", &["240.240.0.2"]),
        ("x.example.org.shop.svc.cluster.local.", &["240.240.0.2"]),
    ] {
        let answer = scene.client.ask(name, RecordType::A)?;
        is(&answer, expected)?;
        ensure!(answer.metadata.authoritative, "{name}: {answer}");
        let old = answer.answers.iter().find(|record| record.ttl != 30);
        ensure!(old.is_none(), "{name}: {answer}");
    }
    let six = scene.client.ask("api.example.com.", RecordType::AAAA)?;
    is(&six, &["2001:2::f0f0:1"])?;
    let none = scene.client.ask("db.shop.", RecordType::AAAA)?;
    ensure!(code(&none) == ResponseCode::NoError, "{none}");
    is(&none, &[])?;
    ensure!(server.asked() == 0, "asked {} times", server.asked());
    let text = scene.client.ask("web.", RecordType::TXT)?;
    ensure!(
        server.asked() == 1 && !text.metadata.authoritative,
        "{text}"
    );
    Ok(())
}

#[test]
fn what_the_mesh_does_not_know_is_forwarded_as_it_is() -> Result<()> {
    let (scene, server) = with(Manner::Helpful)?;
    scene.tell([])?;
    let answer = scene.client.ask("Some.Where.test.", RecordType::A)?;
    is(&answer, &["192.0.2.1"])?;
    let name = answer.queries.first().map(|query| query.name.to_ascii());
    ensure!(name.as_deref() == Some("Some.Where.test."), "{name:?}");
    let none = scene.client.ask("no.test.", RecordType::A)?;
    ensure!(code(&none) == ResponseCode::NXDomain, "{none}");
    ensure!(server.asked() == 2, "asked {} times", server.asked());
    Ok(())
}

#[test]
fn a_long_answer_of_a_server_comes_over_tcp() -> Result<()> {
    let (scene, _server) = with(Manner::Helpful)?;
    scene.tell([])?;
    let cut = scene.client.ask("many.test.", RecordType::A)?;
    ensure!(cut.metadata.truncation, "{cut}");
    let whole = scene.client.ask_tcp(&["many.test.", "a.test."])?;
    let counts: Vec<_> = whole.iter().map(|answer| answer.answers.len()).collect();
    ensure!(counts == [200, 1], "{counts:?}");
    Ok(())
}

#[test]
fn a_long_answer_of_ours_is_cut_to_what_the_client_takes() -> Result<()> {
    let (scene, _server) = with(Manner::Helpful)?;
    let ips: Vec<_> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let ips: Vec<_> = ips.iter().map(String::as_str).collect();
    scene.tell([service("db", "shop", &ips)])?;
    let cut = scene.client.ask("db.", RecordType::A)?;
    ensure!(cut.metadata.truncation && cut.answers.len() == 30, "{cut}");
    let more = scene.client.ask_long("db.", 1232)?;
    ensure!(
        more.metadata.truncation && more.answers.len() > 70,
        "{more}"
    );
    let whole = scene.client.ask_long("db.", 4096)?;
    ensure!(!whole.metadata.truncation && whole.answers.len() == 200);
    let whole = scene.client.ask_tcp(&["db.", "web.", "db.shop."])?;
    let counts: Vec<_> = whole.iter().map(|answer| answer.answers.len()).collect();
    ensure!(counts == [200, 1, 200], "{counts:?}");
    Ok(())
}

#[test]
fn a_dead_server_does_not_keep_the_others_from_answering() -> Result<()> {
    for (order, manner) in [
        (Order::InTurn, Manner::Silent),
        (Order::AtOnce, Manner::Silent),
    ] {
        let runtime = Runtime::new()?;
        let good = Server::start(&runtime, Manner::Helpful)?;
        let bad = Server::start(&runtime, manner)?;
        let closed: SocketAddr = "127.0.0.1:9".parse()?;
        let servers = [bad.address, closed, good.address];
        let scene = Scene::start(runtime, &servers, order)?;
        scene.tell([])?;
        let begin = Instant::now();
        for number in 0..6 {
            let name = format!("name-{number}.test.");
            is(&scene.client.ask(&name, RecordType::A)?, &["192.0.2.1"])?;
        }
        println!("{order:?}: 6 answers in {:?}", begin.elapsed());
    }
    Ok(())
}

#[test]
fn dead_servers_are_said_and_names_of_the_mesh_are_answered_meanwhile() -> Result<()> {
    let (scene, server) = with(Manner::Silent)?;
    scene.tell([])?;
    let begin = Instant::now();
    let waits = scene.client;
    let slow = std::thread::spawn(move || waits.ask("a.test.", RecordType::A));
    is(
        &scene.client.ask("mark.test.", RecordType::A)?,
        &["240.240.9.9"],
    )?;
    let slow = slow.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    ensure!(code(&slow) == ResponseCode::ServFail, "{slow}");
    ensure!(
        begin.elapsed() >= Duration::from_secs(2),
        "it gave up early"
    );
    ensure!(server.asked() == 1, "asked {} times", server.asked());
    let scene = Scene::start(Runtime::new()?, &["127.0.0.1:9".parse()?], Order::InTurn)?;
    scene.tell([])?;
    let refused = scene.client.ask("a.test.", RecordType::A)?;
    ensure!(code(&refused) == ResponseCode::ServFail, "{refused}");
    let scene = Scene::start(Runtime::new()?, &[], Order::InTurn)?;
    scene.tell([])?;
    let nobody = scene.client.ask_tcp(&["a.test."])?;
    ensure!(
        nobody
            .iter()
            .all(|answer| code(answer) == ResponseCode::ServFail)
    );
    Ok(())
}

#[test]
fn forged_answers_are_not_believed() -> Result<()> {
    let (scene, _server) = with(Manner::Spoofed)?;
    scene.tell([])?;
    for number in 0..20 {
        let name = format!("name-{number}.test.");
        let answer = scene.client.ask(&name, RecordType::A)?;
        is(&answer, &["192.0.2.1"])?;
        let asked = answer.queries.first().map(|query| query.name.to_ascii());
        ensure!(asked.as_deref() == Some(name.as_str()), "{asked:?}");
    }
    Ok(())
}

#[test]
fn nothing_is_answered_before_the_first_table_and_the_last_one_stays() -> Result<()> {
    let (mut scene, server) = with(Manner::Helpful)?;
    let early = scene.client.ask("a.test.", RecordType::A)?;
    ensure!(code(&early) == ResponseCode::ServFail, "{early}");
    ensure!(server.asked() == 0, "a server was asked");
    scene.tell([service("web", "shop", &["10.96.0.10"])])?;
    is(&scene.client.ask("web.", RecordType::A)?, &["10.96.0.10"])?;
    scene.tell([service("web", "shop", &["10.96.0.99"])])?;
    is(&scene.client.ask("web.", RecordType::A)?, &["10.96.0.99"])?;
    // Nobody tells names any more.
    drop(std::mem::replace(
        &mut scene.names,
        tokio::sync::watch::channel(None).0,
    ));
    is(&scene.client.ask("web.", RecordType::A)?, &["10.96.0.99"])
}

#[test]
fn packets_that_make_no_sense_are_refused_or_dropped_and_nothing_is_amplified() -> Result<()> {
    let (scene, server) = with(Manner::Helpful)?;
    scene.tell([])?;
    let whole = question("mark.test.", RecordType::A)?.to_vec()?;
    let mut packets: Vec<_> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    packets.push(vec![0xff; 4096]);
    packets.push(vec![0; 12]);
    let mut answer = whole.clone();
    answer[2] |= 0x80;
    packets.push(answer);
    let mut looped = whole[..12].to_vec();
    looped.extend([0xc0, 12, 0, 1, 0, 1]);
    packets.push(looped);
    let mut state = 1_u64;
    for _ in 0..500 {
        let mut noise = whole.clone();
        for byte in &mut noise {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            if state >> 61 == 0 {
                *byte = (state >> 40).to_le_bytes()[0];
            }
        }
        // Not a question that can be read.
        if Message::from_vec(&noise).is_err() {
            packets.push(noise);
        }
    }
    let mut refused = 0;
    for packet in &packets {
        let answers = scene.client.probe(packet, "mark.test.")?;
        ensure!(
            answers.len() <= 2,
            "{} answers to {packet:?}",
            answers.len()
        );
        if let [refusal, _] = answers.as_slice() {
            ensure!(refusal.len() <= packet.len(), "{packet:?}: {refusal:?}");
            refused += 1;
        }
    }
    println!("{refused} of {} packets were refused", packets.len());
    ensure!(server.asked() == 0, "a server was asked");
    Ok(())
}

#[test]
fn ten_thousand_names_are_taken_in_and_answered() -> Result<()> {
    let (scene, _server) = with(Manner::Helpful)?;
    let rows = |last: u8| {
        (0..10_000_u32).map(move |number| {
            let ip = format!("10.{}.{}.{last}", number / 256, number % 256);
            service(&format!("service-{number}"), "shop", &[&ip])
        })
    };
    scene.tell(rows(1))?;
    let begin = Instant::now();
    scene
        .names
        .send_replace(Some(std::sync::Arc::new(rows(2).collect())));
    meltemi_testkit::wait::until("the second table", scene::SOON, || {
        let answer = scene.client.ask("service-9999.", RecordType::A)?;
        Ok((addresses(&answer) == ["10.39.15.2"]).then_some(()))
    })?;
    let taken = begin.elapsed();
    let begin = Instant::now();
    for number in (0..10_000).step_by(10) {
        let name = format!("service-{number}.shop.svc.cluster.local.");
        let answer = scene.client.ask(&name, RecordType::A)?;
        let ip = format!("10.{}.{}.2", number / 256, number % 256);
        is(&answer, &[&ip])?;
    }
    println!(
        "taken in after {taken:?}, 1000 answers in {:?}",
        begin.elapsed()
    );
    Ok(())
}
