//! The chain of a store file, broken by hand in each way; checkpoints, pruning and erasing.

use super::*;
use crate::store::trail::{Break, Checkpoint, Verified};

/// A server with `count` rows of alice and bob beyond the four that made them.
fn with_rows(count: u64) -> OnDisk {
    let bench = OnDisk::new();
    let accounts = [enrol(&bench, "alice"), enrol(&bench, "bob")];
    for step in 1..=count {
        let account = &accounts[usize::try_from(step % 2).unwrap()];
        commit(&bench, spend(account, step)).unwrap();
    }
    bench
}

fn verify(bench: &OnDisk, others: &[Checkpoint]) -> Verified {
    bench.admin().trail().verify(others, &mut |_, _| {}).unwrap()
}

fn broken(bench: &OnDisk, others: &[Checkpoint]) -> Break {
    verify(bench, others).broken.expect("the chain is broken")
}

/// Ten rows, then `sql`, then what is found.
fn tampered(sql: &str) -> Break {
    let bench = with_rows(10);
    assert_eq!(verify(&bench, &[]).broken, None);
    raw(&bench).execute_batch(sql).unwrap();
    broken(&bench, &[])
}

#[test]
fn a_chain_that_nobody_touched_holds_also_across_a_restart_and_beside_commands() {
    let bench = with_rows(10);
    let checkpoint = bench.admin().trail().checkpoint().unwrap().unwrap();
    assert_eq!(bench.admin().trail().checkpoint().unwrap(), None, "the newest row has one");
    let bench = bench.restart();
    let alice = find(&bench, "alice");
    bench.admin().append(&spend(&alice, 50));
    commit(&bench, spend(&alice, 51)).unwrap();
    let verified = verify(&bench, &[checkpoint]);
    assert_eq!((verified.rows, verified.broken, verified.checkpoints), ([1, 16], None, 2));
}

#[test]
fn a_row_that_was_changed_is_named() {
    for (column, sql) in [
        ("body", "UPDATE event SET body = CAST(body || x'00' AS BLOB) WHERE seq = 7"),
        ("person", "UPDATE event SET person = (SELECT person FROM event WHERE seq = 8) WHERE seq = 7"),
        ("mac", "UPDATE event SET mac = zeroblob(32) WHERE seq = 7"),
        ("type", "UPDATE event SET body = 'text' WHERE seq = 7"),
    ] {
        let found = tampered(sql);
        assert_eq!(found.sequence, 7, "{column}");
        assert!(found.what.contains("changed"), "{column}: {}", found.what);
    }
}

#[test]
fn a_row_that_was_removed_is_named() {
    let found = tampered("DELETE FROM event WHERE seq = 7");
    assert_eq!((found.sequence, found.what.contains("removed")), (7, true), "{}", found.what);
    let found = tampered("DELETE FROM event WHERE seq IN (7, 8, 9)");
    assert_eq!((found.sequence, found.what.as_str()), (7, "the rows 7 to 9 were removed"));
    let found = tampered("DELETE FROM event WHERE seq = 1");
    assert_eq!((found.sequence, found.what.contains("removed")), (1, true), "the oldest, without an anchor");
    // The later ones moved down, so that there is no gap.
    let shifted = "DELETE FROM event WHERE seq = 7;
        UPDATE event SET seq = -seq WHERE seq > 7; UPDATE event SET seq = -seq - 1 WHERE seq < 0;";
    assert_eq!(tampered(shifted).sequence, 7);
}

#[test]
fn a_row_that_was_inserted_is_named() {
    let between = "UPDATE event SET seq = -seq WHERE seq >= 7; UPDATE event SET seq = 1 - seq WHERE seq < 0;
        INSERT INTO event SELECT chain, 7, body, person, mac FROM event WHERE seq = 3;";
    let found = tampered(between);
    assert_eq!((found.sequence, found.what.as_str()), (7, "the row was inserted"));
    let found = tampered("INSERT INTO event SELECT chain, 15, body, person, mac FROM event WHERE seq = 3");
    assert_eq!(found.sequence, 15, "behind the newest");
    let found = tampered("INSERT INTO event SELECT chain, 0, body, person, mac FROM event WHERE seq = 3");
    assert_eq!(found.sequence, 1, "before the oldest: {}", found.what);
}

#[test]
fn rows_that_were_swapped_are_named() {
    let swap = "UPDATE event SET seq = -7 WHERE seq = 7; UPDATE event SET seq = 7 WHERE seq = 8;
        UPDATE event SET seq = 8 WHERE seq = -7;";
    let found = tampered(swap);
    assert_eq!((found.sequence, found.what.as_str()), (7, "the rows 7 and 8 were swapped"));
}

#[test]
fn a_tail_that_was_cut_is_found_by_a_checkpoint_in_the_store_or_from_the_log() {
    let bench = with_rows(10);
    let logged = bench.admin().trail().checkpoint().unwrap().unwrap();
    assert_eq!(logged.count, 14);
    raw(&bench).execute_batch("DELETE FROM event WHERE seq > 11").unwrap();
    let found = broken(&bench, &[]);
    assert_eq!(found.sequence, 12);
    assert!(found.what.contains("tail was cut") && found.what.contains("14"), "{}", found.what);
    // Whoever cuts the tail takes the store's own checkpoints along.
    raw(&bench).execute_batch("DELETE FROM checkpoint").unwrap();
    assert_eq!(verify(&bench, &[]).broken, None);
    let from_log = Checkpoint::find(&format!("INFO audit {logged}")).next().unwrap();
    assert_eq!(broken(&bench, &[from_log]).sequence, 12);
}

#[test]
fn a_tail_that_was_cut_is_missed_by_the_roll_ups() {
    let bench = with_rows(10);
    bench.admin().reports().catch_up(&mut |_, _| ()).unwrap();
    raw(&bench).execute_batch("DELETE FROM event WHERE seq > 11").unwrap();
    let found = broken(&bench, &[]);
    assert_eq!((found.sequence, found.what.contains("has taken in 14")), (12, true), "{}", found.what);
}

#[test]
fn a_chain_that_was_made_anew_is_found_by_a_checkpoint() {
    let bench = with_rows(10);
    let logged = bench.admin().trail().checkpoint().unwrap().unwrap();
    let raw = raw(&bench);
    raw.execute_batch("DELETE FROM event WHERE seq = 14; DELETE FROM checkpoint").unwrap();
    // The row that takes its place follows from the one before, as good as any.
    drop(bench.admin().unlock(&name("bob")));
    assert_eq!(verify(&bench, &[]).broken, None);
    let found = broken(&bench, std::slice::from_ref(&logged));
    assert_eq!((found.sequence, found.what.contains("made anew")), (14, true), "{}", found.what);
}

#[test]
fn a_checkpoint_or_an_anchor_that_is_forged_is_found() {
    let bench = with_rows(10);
    let logged = bench.admin().trail().checkpoint().unwrap().unwrap();
    raw(&bench).execute_batch("UPDATE checkpoint SET head = zeroblob(32)").unwrap();
    let found = broken(&bench, &[]);
    assert_eq!((found.sequence, found.what.contains("checkpoint")), (14, true), "{}", found.what);
    let forged = logged.to_string().replacen(":14:", ":15:", 1);
    let forged = Checkpoint::find(&forged).next().unwrap();
    let refused = bench.admin().trail().verify(&[forged], &mut |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("forged"), "{refused}");
    raw(&bench)
        .execute_batch(
            "DELETE FROM checkpoint;
             INSERT INTO anchor SELECT 1, seq, mac, 0, zeroblob(32) FROM event WHERE seq = 5;
             DELETE FROM event WHERE seq <= 5;",
        )
        .unwrap();
    let found = broken(&bench, &[]);
    assert_eq!((found.sequence, found.what.contains("anchor")), (5, true), "{}", found.what);
    let refused = bench.admin().trail().prune(UnixTime(u64::MAX), 100).unwrap_err();
    assert!(refused.to_string().contains("anchor"), "{refused}");
}

/// All rows of logins are of 1,800,000,000; those of commands of the present day, which is before it.
const LATER: UnixTime = UnixTime(1_900_000_000_000);

#[test]
fn pruning_goes_in_steps_leaves_an_anchor_and_forgets_no_state() {
    let bench = with_rows(10);
    let steps = |bench: &OnDisk| ["alice", "bob"].map(|user| find(bench, user).tokens[0].last_step);
    let before = steps(&bench);
    let mut admin = bench.admin();
    admin.trail().checkpoint().unwrap().unwrap();
    assert_eq!(admin.trail().prune(UnixTime(0), 100).unwrap(), 0);
    assert_eq!(admin.trail().prune(LATER, 6).unwrap(), 6);
    let verified = verify(&bench, &[]);
    assert_eq!((verified.rows, verified.broken.clone(), verified.pruned.is_some()), ([7, 14], None, true));
    assert_eq!(verified.checkpoints, 1);
    assert_eq!(admin.trail().prune(LATER, 100).unwrap(), 7, "the newest stays");
    assert_eq!(admin.trail().prune(LATER, 100).unwrap(), 0);
    assert_eq!(verify(&bench, &[]).rows, [14, 14]);
    assert_eq!(steps(&bench), before);
    let bench = bench.restart();
    assert_eq!(steps(&bench), before, "what the rows said is remembered without them");
    let alice = find(&bench, "alice");
    assert_eq!(commit(&bench, spend(&alice, 10)), Err(Some(Conflict::StepSpent)));
    assert_eq!(commit(&bench, spend(&alice, 11)), Ok(15));
    assert_eq!(verify(&bench, &[]).broken, None);
    raw(&bench).execute_batch("DELETE FROM event WHERE seq = 14").unwrap();
    assert_eq!(broken(&bench, &[]).sequence, 14, "the oldest after the anchor");
}

#[test]
fn rows_that_do_not_follow_are_not_pruned_away() {
    let bench = with_rows(10);
    let other = "UPDATE event SET person = (SELECT person FROM event WHERE seq = 4) WHERE seq = 3";
    raw(&bench).execute_batch(other).unwrap();
    let refused = bench.admin().trail().prune(LATER, 100).unwrap_err();
    assert!(refused.to_string().contains("row 3"), "{refused}");
    assert_eq!(verify(&bench, &[]).rows, [1, 14]);
}

#[test]
fn erasing_a_user_takes_the_name_out_of_the_file_and_keeps_the_chain_whole() {
    let bench = OnDisk::new();
    let zelda = enrol(&bench, "zelda.fitz");
    bench
        .admin()
        .set_user(&zelda.name, &mut |fields| fields.mail = Some("zelda@secret.example".into()))
        .unwrap();
    let zelda = find(&bench, "zelda.fitz");
    for step in 1..=5 {
        commit(&bench, spend(&zelda, step)).unwrap();
    }
    let bob = enrol(&bench, "bob");
    commit(&bench, spend(&bob, 1)).unwrap();
    let mut admin = bench.admin();
    let logged = admin.trail().checkpoint().unwrap().unwrap();
    let mut looked = (0, 0);
    let erased = admin.trail().erase_user(&zelda.name, &mut |done, total| looked = (done, total)).unwrap();
    assert_eq!((erased.rows, erased.tokens), (8, vec!["T-zelda.fitz".into()]));
    assert_eq!(looked.0, looked.1);
    let verified = verify(&bench, std::slice::from_ref(&logged));
    assert_eq!((verified.broken, verified.erased), (None, 8));
    assert!(matches!(ask(&bench, "zelda.fitz"), UserAnswer::Unknown { .. }));
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    assert_eq!(rows[0].reason, "user-erased");
    assert_eq!((rows[0].user.as_deref(), rows[0].user_id), (None, Some(zelda.id)));
    assert!(rows.iter().all(|row| row.user.as_deref() != Some("zelda.fitz") && row.mail.is_none()));
    assert_eq!(rows.iter().filter(|row| row.user.as_deref() == Some("bob")).count(), 3);
    // The state that the rows left is there still, also without them.
    assert_eq!(admin.token("T-zelda.fitz").unwrap().last_step, Some(5));
    assert!(matches!(
        admin.trail().erase_user(&zelda.name, &mut |_, _| {}),
        Err(crate::store::admin::AdminFault::Missing(_))
    ));
    drop(admin);
    let path = bench.settings().path;
    let OnDisk { store, scratch, .. } = bench;
    drop(store);
    let octets = std::fs::read(&path).unwrap();
    for trace in [&b"zelda@secret"[..], b"zelda.fitz\x07"] {
        assert!(!octets.windows(trace.len()).any(|part| part == trace), "the file still holds it");
    }
    drop(scratch);
}

#[test]
fn a_reading_in_pages_begins_where_the_time_does() {
    let bench = OnDisk::new();
    let alice = enrol(&bench, "alice");
    let hour = 3_600_000;
    for number in 0..20 {
        let mut record = spend(&alice, number + 1);
        Arc::make_mut(&mut record.row).time = UnixTime(1_800_000_000_000 + number * 2 * hour);
        commit(&bench, record).unwrap();
    }
    let mut admin = bench.admin();
    let trail = admin.trail();
    assert_eq!(trail.before(UnixTime(0)).unwrap(), 0);
    assert_eq!(trail.newest().unwrap(), 22);
    let from = trail.before(UnixTime(1_800_000_000_000 + 10 * 2 * hour)).unwrap();
    let page = trail.page(from, 3).unwrap();
    assert_eq!(page.iter().map(|row| row.sequence).collect::<Vec<_>>(), [13, 14, 15]);
    assert_eq!(trail.before(LATER).unwrap(), 22);
}

#[test]
fn what_somebody_planted_in_the_file_never_runs_and_the_file_is_not_opened_again() {
    let bench = with_rows(10);
    let planted =
        "CREATE TRIGGER hide AFTER INSERT ON event BEGIN DELETE FROM event WHERE seq = new.seq; END";
    raw(&bench).execute_batch(planted).unwrap();
    commit(&bench, spend(&find(&bench, "alice"), 900)).unwrap();
    let kept: i64 = raw(&bench).query_row("SELECT max(seq) FROM event", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 15, "a running server's row is kept");
    let refused = refusal(&bench.settings());
    assert!(refused.contains("holds the trigger hide, which no radmfa makes"), "{refused}");
}

#[test]
fn a_person_who_was_taken_out_by_hand_is_missed() {
    let bench = with_rows(10);
    let person: Vec<u8> =
        raw(&bench).query_row("SELECT person FROM event WHERE seq = 7", [], |row| row.get(0)).unwrap();
    let left = crate::store::packed::erased(&person);
    raw(&bench).execute("UPDATE event SET person = ?1 WHERE seq = 7", [left]).unwrap();
    let found = broken(&bench, &[]);
    assert_eq!((found.sequence, found.what.contains("no row after it says")), (7, true), "{}", found.what);
    // An erasing before it excuses nothing, one after it does.
    let bench = with_rows(10);
    bench.admin().trail().erase_user(&name("alice"), &mut |_, _| ()).unwrap();
    assert_eq!(verify(&bench, &[]).broken, None);
    commit(&bench, spend(&find(&bench, "bob"), 900)).unwrap();
    raw(&bench)
        .execute(
            "UPDATE event SET person = ?1 WHERE seq = (SELECT max(seq) FROM event)",
            [crate::store::packed::erased(
                &raw(&bench)
                    .query_row("SELECT person FROM event ORDER BY seq DESC LIMIT 1", [], |row| {
                        row.get::<_, Vec<u8>>(0)
                    })
                    .unwrap(),
            )],
        )
        .unwrap();
    assert!(broken(&bench, &[]).what.contains("no row after it says"));
    bench.admin().trail().erase_user(&name("bob"), &mut |_, _| ()).unwrap();
    assert_eq!(verify(&bench, &[]).broken, None);
}
