//! Codes guessed, raced, used again and dressed up: attacks 8 to 12 and 22.

use super::*;

#[test]
fn attack_8_of_two_racing_packets_with_one_right_code_one_is_accepted() {
    for first_released in [0, 1] {
        let mut world = world();
        let states = [challenged(&mut world, "alice"), challenged(&mut world, "alice")];
        let code = world.code("alice", None, 0).unwrap();
        world.holding.commit = true;
        for state in &states {
            world.send(with_state("alice", &code, state));
        }
        world.release(first_released);
        world.release_all();
        let codes: Vec<_> = world.replies.drain(..).map(|reply| reply.code).collect();
        assert_eq!(codes, [Code::ACCESS_ACCEPT, Code::ACCESS_CHALLENGE]);
    }
}

#[test]
fn attack_8_on_two_servers_with_one_store_too() {
    let mut here = world();
    let mut there = world();
    there.store = here.store.clone();
    let code = here.code("alice", None, 0).unwrap();
    for world in [&mut here, &mut there] {
        let state = challenged(world, "alice");
        world.holding.commit = true;
        world.send(with_state("alice", &code, &state));
    }
    there.release_all();
    here.release_all();
    assert_eq!(reply(&mut there).code, Code::ACCESS_ACCEPT);
    assert_eq!(reply(&mut here).code, Code::ACCESS_CHALLENGE);
    assert_eq!(last_reason(&here), Reason::CodeReused);
}

#[test]
fn attack_9_a_code_is_good_once_and_only_as_its_own_digits() {
    let mut world = world();
    world.wait(Duration::from_mins(5));
    let state = challenged(&mut world, "alice");
    alice_is_unharmed(&mut world, &state);
    let right = world.code("alice", None, 1).unwrap();
    let wide: String =
        right.bytes().map(|digit| char::from_u32(0xFF10 + u32::from(digit - b'0')).unwrap()).collect();
    let entries = [
        world.code("alice", None, 0).unwrap(),
        format!("{right}12"),
        format!("\0{right}"),
        format!("0{right}"),
        format!("+{right}"),
        wide,
        format!("{} {}", &right[..3], &right[3..]),
        right.trim_start_matches('0')[1..].to_owned(),
    ];
    // Without the lockout in the way: three tries at a time, and an admin between them.
    for entry in entries {
        let state = challenged(&mut world, "alice");
        world.send(with_state("alice", &entry, &state));
        assert_eq!(reply(&mut world).code, Code::ACCESS_CHALLENGE, "{entry:?}");
        let reason = last_reason(&world);
        assert!(matches!(reason, Reason::CodeWrong | Reason::CodeReused), "{entry:?}: {reason:?}");
        world.store.unlock(&world::name("alice")).unwrap();
    }
    let state = challenged(&mut world, "alice");
    accepted(&mut world, with_state("alice", &format!(" {right}\r\n"), &state));
}

#[test]
fn attack_9_an_eight_digit_token_takes_no_six_digits_either() {
    let mut world = world();
    world.add_user("carol");
    let eight = Parameters { digits: Digits::new(8).unwrap(), ..Parameters::default() };
    world.add_token("carol", "T8", Secret::new(SEED), eight);
    let state = challenged(&mut world, "carol");
    let code = world.code("carol", None, 0).unwrap();
    // What the same seed shows with six digits.
    world.send(with_state("carol", &code[2..], &state));
    let state = reply(&mut world).first(number::STATE).unwrap().to_vec();
    assert_eq!(last_reason(&world), Reason::CodeWrong);
    accepted(&mut world, with_state("carol", &code, &state));
}

#[test]
fn attack_10_new_logins_do_not_reset_the_count_of_failures() {
    let mut world = world();
    for _ in 0..5 {
        let state = challenged(&mut world, "alice");
        world.send(with_state("alice", &world.wrong_code(), &state));
        reply(&mut world);
        assert_eq!(last_reason(&world), Reason::CodeWrong);
        // The login is left alone, and another one begun from another station.
        world.wait(Duration::from_secs(1));
    }
    let state = challenged(&mut world, "alice");
    let code = world.code("alice", None, 0).unwrap();
    world.send(with_state("alice", &code, &state));
    assert_eq!(reply(&mut world).code, Code::ACCESS_CHALLENGE);
    assert_eq!(last_reason(&world), Reason::BackOff);
}

#[test]
fn attack_11_of_a_hundred_guesses_at_once_on_one_state_one_is_looked_at() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    world.holding.user = true;
    let right = world.code("alice", None, 0).unwrap();
    for guess in 0..100 {
        let entry = if guess == 70 { right.clone() } else { format!("{guess:06}") };
        world.send(with_state("alice", &entry, &state));
    }
    world.release_all();
    let (told, refused): (Vec<_>, Vec<_>) =
        world.replies.drain(..).partition(|reply| reply.code == Code::ACCESS_CHALLENGE);
    assert_eq!((told.len(), refused.len()), (1, 99));
    let judged = logins(&world).iter().filter(|(_, row)| row.reason != Reason::StateSpent).count();
    assert_eq!(judged, 1);
    assert_eq!(world.faults, Vec::<String>::new());
}

#[test]
fn attack_11_of_a_hundred_logins_at_once_none_is_accepted_after_five_wrong_codes() {
    let mut world = world();
    let states: Vec<_> = (0..100).map(|_| challenged(&mut world, "alice")).collect();
    let right = world.code("alice", None, 0).unwrap();
    world.holding.commit = true;
    for (guess, state) in states.iter().enumerate() {
        let entry = if guess == 99 { right.clone() } else { world.wrong_code() };
        world.send(with_state("alice", &entry, state));
    }
    world.release_all();
    assert!(world.replies.iter().all(|reply| reply.code == Code::ACCESS_CHALLENGE));
    assert_eq!(last_reason(&world), Reason::BackOff);
    // Nor do they lock her out for good: those after the fifth are not counted.
    let counted = logins(&world).iter().filter(|(_, row)| row.reason == Reason::CodeWrong).count();
    assert_eq!((logins(&world).len(), counted), (100, 5));
}

#[test]
fn attack_12_a_code_without_a_state_is_a_wrong_password() {
    let mut world = world();
    challenged(&mut world, "alice");
    let code = world.code("alice", None, 0).unwrap();
    let first_step = Knock { primary: Some(reject()), ..knock(b"alice", code.as_bytes()) };
    refused(&mut world, first_step, Reason::PrimaryRejected);
    assert_eq!(world.primary_asked.last().unwrap().1, code.into_bytes());
}

#[test]
fn attack_22_a_clock_that_was_set_back_gives_no_code_its_worth_again() {
    let mut world = world();
    world.wait(Duration::from_hours(2));
    let state = challenged(&mut world, "alice");
    alice_is_unharmed(&mut world, &state);
    for back in [30, 3600] {
        world.set_wall_clock(world.time.unix() - Duration::from_secs(back));
        for offset in [-1, 0, 1] {
            let state = challenged(&mut world, "alice");
            let code = world.code("alice", None, offset).unwrap();
            world.send(with_state("alice", &code, &state));
            assert_eq!(reply(&mut world).code, Code::ACCESS_CHALLENGE);
            assert_eq!(last_reason(&world), Reason::CodeReused);
            world.store.unlock(&world::name("alice")).unwrap();
        }
    }
}
