use super::super::identity::RecordFields;
use super::*;

fn record(first: u8, last: u8, name: Option<&str>, number: u64) -> IdentityRecord {
    let mut id = [0; 32];
    (id[0], id[15], id[31]) = (first, last, last);
    let fields = RecordFields {
        nickname: name.map(|name| name.parse().unwrap()),
        subkey: [0; 32],
        capabilities: 0,
        number,
        issued: UnixTime::default(),
        valid_until: UnixTime::from_millis(1),
    };
    IdentityRecord { id: NodeId(id), public_key: vec![], fields }
}

fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

fn see(directory: &mut Directory, record: &IdentityRecord, millis: u64) -> Refresh {
    let raw = format!("{} {:?}", record.fields.number, record.fields.nickname);
    directory.refresh(record, raw.as_bytes(), at(millis), false, |_| false)
}

#[test]
fn newer_records_replace_older_ones() {
    let mut directory = Directory::new();
    assert_eq!(see(&mut directory, &record(1, 1, Some("a"), 5), 10).change, Change::New);
    assert_eq!(see(&mut directory, &record(1, 1, Some("a"), 5), 20).change, Change::Unchanged);
    assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 5), 30).change, Change::Outdated);
    assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 4), 30).change, Change::Outdated);
    assert_eq!(see(&mut directory, &record(1, 1, Some("b"), 6), 30).change, Change::Updated);
    let entry = directory.by_address(&record(1, 1, None, 0).id.address()).unwrap();
    assert_eq!(
        (entry.nickname.as_ref().unwrap().as_str(), entry.first_seen, entry.last_seen),
        ("b", at(10), at(30))
    );
}

#[test]
fn a_second_key_with_the_same_nickname_is_reported_and_makes_it_ambiguous() {
    let mut directory = Directory::new();
    let (first, second) = (record(9, 1, Some("alice"), 1), record(2, 2, Some("alice"), 1));
    assert_eq!(see(&mut directory, &first, 1).nickname_also_used_by, None);
    assert_eq!(directory.resolve("alice"), Ok(first.id));
    assert_eq!(see(&mut directory, &second, 2).nickname_also_used_by, Some(first.id));
    assert_eq!(see(&mut directory, &record(2, 2, Some("alice"), 2), 3).nickname_also_used_by, None);
    let holders = vec![second.id, first.id];
    assert_eq!(directory.resolve("alice"), Err(ResolveError::SharedName { name: "alice".into(), holders }));
    see(&mut directory, &record(2, 2, Some("bob"), 3), 4);
    assert_eq!(directory.resolve("alice"), Ok(first.id));
    assert_eq!(see(&mut directory, &record(2, 2, Some("alice"), 4), 5).nickname_also_used_by, Some(first.id));
}

#[test]
fn queries() {
    let mut directory = Directory::new();
    let (a, b) = (record(0xab, 0x11, Some("anna"), 1), record(0xac, 0x22, Some("abe"), 1));
    see(&mut directory, &a, 1);
    see(&mut directory, &b, 1);
    assert_eq!(directory.resolve("AB0"), Ok(a.id));
    assert_eq!(directory.resolve("ac"), Ok(b.id));
    assert_eq!(directory.resolve(&a.id.short()), Ok(a.id));
    assert_eq!(directory.resolve("anna"), Ok(a.id));
    let unknown = NodeId([7; 32]);
    assert_eq!(directory.resolve(&unknown.to_string()), Ok(unknown));
    for query in ["", "Anna", "0022", "abf", "é", "ann", &"a".repeat(65)] {
        assert!(matches!(directory.resolve(query), Err(ResolveError::Unknown { .. })), "{query}");
    }
    assert!(
        matches!(directory.resolve("a"), Err(ResolveError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    // A nickname that looks like the beginning of somebody else's id decides nothing.
    see(&mut directory, &record(0xee, 0x33, Some("ab"), 1), 1);
    assert!(matches!(directory.resolve("ab"), Err(ResolveError::Ambiguous { .. })));
}

#[test]
fn errors_list_five_candidates() {
    let mut directory = Directory::new();
    for last in 0..7 {
        see(&mut directory, &record(0xa0, last, Some("x"), 1), 1);
    }
    let text = directory.resolve("a0").unwrap_err().to_string();
    assert_eq!(text.matches("(x)").count(), 5, "{text}");
    assert!(text.contains("and 2 more; type more digits"), "{text}");
    let text = directory.resolve("x").unwrap_err().to_string();
    assert_eq!(text.matches("a000").count(), 5, "{text}");
    assert!(text.contains("and 2 more: nothing goes to 'x'") && text.contains("/verify"), "{text}");
}

fn judge(directory: &mut Directory, id: NodeId, trust: Trust) {
    assert_eq!(directory.set_trust(id, trust, at(9), |_| false), Ok(None));
}

#[test]
fn a_verified_node_keeps_its_name() {
    let mut directory = Directory::new();
    let (anna, twin) = (record(1, 1, Some("abcde"), 1), record(2, 2, Some("abcde"), 1));
    see(&mut directory, &anna, 1);
    see(&mut directory, &twin, 2);
    assert_eq!(
        directory.still_means("abcde", anna.id),
        Err(ResolveError::SharedName { name: "abcde".into(), holders: vec![anna.id, twin.id] })
    );
    judge(&mut directory, anna.id, Trust::Verified);
    // Neither the name nor an id that looks like it take anything from it.
    see(&mut directory, &record(0xab, 3, None, 1), 3);
    let mut mined = record(0xab, 4, None, 1);
    mined.id.0[1..3].copy_from_slice(&[0xcd, 0xef]);
    see(&mut directory, &mined, 3);
    assert_eq!(directory.resolve("abcde"), Ok(anna.id));
    assert_eq!(directory.still_means("abcde", anna.id), Ok(()));
    assert!(directory.still_means("abcde", twin.id).is_err());
    // The newcomer is measured against the verified one, whoever was first.
    judge(&mut directory, anna.id, Trust::Seen);
    judge(&mut directory, twin.id, Trust::Verified);
    let third = see(&mut directory, &record(5, 5, Some("abcde"), 1), 5);
    assert_eq!(third.nickname_also_used_by, Some(twin.id));
    assert_eq!(directory.resolve("abcde"), Ok(twin.id));
    // Two that are verified are two.
    judge(&mut directory, anna.id, Trust::Verified);
    assert!(directory.resolve("abcde").is_err());
    assert!(directory.still_means("abcde", anna.id).is_err());
}

#[test]
fn a_verified_node_cannot_redirect_a_name() {
    let mut directory = Directory::new();
    let (anna, bert) = (record(1, 1, Some("anna"), 1), record(2, 2, Some("bert"), 1));
    see(&mut directory, &anna, 1);
    see(&mut directory, &bert, 2);
    judge(&mut directory, bert.id, Trust::Verified);
    let renamed = record(2, 2, Some("anna"), 2);
    let refresh = see(&mut directory, &renamed, 4);
    assert!(refresh.keeps_its_name && refresh.nickname_also_used_by.is_none());
    let check = |directory: &Directory| {
        assert_eq!(directory.resolve("anna"), Ok(anna.id));
        assert_eq!(directory.still_means("anna", anna.id), Ok(()));
        assert_eq!(directory.resolve("bert"), Ok(bert.id));
    };
    check(&directory);
    // On disk and back.
    let stored: Vec<_> = directory.iter().map(Entry::stored).collect();
    let mut directory = Directory::new();
    directory.restore(&stored[0], Some(&anna));
    directory.restore(&stored[1], Some(&renamed));
    check(&directory);
    // Whoever verifies it again takes its new name; from then on there are two, and one of them is verified.
    judge(&mut directory, bert.id, Trust::Verified);
    assert_eq!(directory.resolve("anna"), Ok(bert.id));
    // Nor does one that was verified without a name.
    let carl = record(3, 3, None, 1).id;
    judge(&mut directory, carl, Trust::Verified);
    assert!(see(&mut directory, &record(3, 3, Some("dora"), 1), 5).keeps_its_name);
    assert!(directory.resolve("dora").is_err());
    judge(&mut directory, carl, Trust::Seen);
    assert_eq!(directory.resolve("dora"), Ok(carl));
}

#[test]
fn a_name_that_nobody_else_has_still_means_the_same() {
    let mut directory = Directory::new();
    let anna = record(1, 1, Some("anna"), 1);
    see(&mut directory, &anna, 1);
    assert_eq!(directory.still_means("0101", anna.id), Ok(()), "an id is no name");
    see(&mut directory, &record(1, 1, Some("ann"), 2), 2);
    assert_eq!(
        directory.still_means("anna", anna.id),
        Ok(()),
        "it is called otherwise now, and nobody is called so"
    );
    see(&mut directory, &record(2, 2, Some("anna"), 1), 3);
    assert!(directory.still_means("anna", anna.id).is_err(), "the name means somebody else now");
}

#[test]
fn blocked_nodes_take_no_name() {
    let mut directory = Directory::new();
    let (anna, twin) = (record(1, 1, Some("anna"), 1), record(2, 2, Some("anna"), 1));
    see(&mut directory, &anna, 1);
    judge(&mut directory, twin.id, Trust::Blocked);
    assert_eq!(see(&mut directory, &twin, 2).nickname_also_used_by, None);
    assert_eq!(directory.resolve("anna"), Ok(anna.id));
    assert_eq!(directory.still_means("anna", anna.id), Ok(()));
    directory.remove(&anna.id);
    assert_eq!(directory.resolve("anna"), Ok(twin.id), "for whoever wants to unblock it");
}

#[test]
fn contacts_need_not_have_been_seen() {
    let mut directory = Directory::new();
    let anna = record(1, 1, Some("anna-marie"), 0);
    let contact = Contact { id: anna.id, nickname: Some("anna".parse().unwrap()) };
    assert_eq!(directory.import(&contact, at(5), |_| false), Ok(None));
    assert_eq!(directory.resolve("anna"), Ok(anna.id));
    let entry = directory.node(&anna.id).unwrap();
    assert!(entry.is_contact() && !entry.has_record() && entry.trust == Trust::Seen);
    // On disk and back.
    let mut directory = Directory::of(&[entry.stored()]);
    let entry = directory.node(&anna.id).unwrap();
    assert_eq!((entry.first_seen, entry.last_seen, entry.ties), (at(5), at(0), Ties::Own));
    assert_eq!(directory.resolve("anna"), Ok(anna.id));
    // Its first record, whatever its number.
    assert_eq!(see(&mut directory, &anna, 7).change, Change::Updated);
    assert_eq!(directory.resolve("anna-marie"), Ok(anna.id));
    assert_eq!(directory.import(&contact, at(8), |_| false), Ok(None));
    assert_eq!(directory.resolve("anna-marie"), Ok(anna.id), "its own name goes before");
    let mut deceiver = contact;
    deceiver.id.0[31] ^= 1;
    assert_eq!(directory.import(&deceiver, at(9), |_| false), Err(KeepError::AddressTaken(deceiver.id)));
}

#[test]
fn contacts_are_never_forgotten_and_those_who_wrote_go_last() {
    let mut directory = Directory { capacity: 5, ..Directory::new() };
    let id = |n| record(n, n, None, 1).id;
    for n in 1..=5 {
        see(&mut directory, &record(n, n, None, 1), n.into());
    }
    judge(&mut directory, id(1), Trust::Verified);
    judge(&mut directory, id(2), Trust::Blocked);
    assert!(directory.tie(&id(3), Ties::Own) && !directory.tie(&id(3), Ties::Heard));
    assert!(directory.tie(&id(4), Ties::Heard) && !directory.tie(&id(9), Ties::Heard));
    assert_eq!(see(&mut directory, &record(6, 6, None, 1), 6).evicted, Some(id(5)));
    assert_eq!(see(&mut directory, &record(7, 7, None, 1), 7).evicted, Some(id(6)));
    assert_eq!(directory.set_trust(id(8), Trust::Verified, at(8), |_| false), Ok(Some(id(7))));
    assert_eq!(see(&mut directory, &record(9, 9, None, 1), 9).evicted, Some(id(4)), "nobody else is left");
    judge(&mut directory, id(9), Trust::Blocked);
    assert_eq!(see(&mut directory, &record(10, 10, None, 1), 10).change, Change::Refused);
    let refused = directory.set_trust(id(10), Trust::Blocked, at(10), |_| false);
    assert_eq!(refused, Err(KeepError::NoRoom(id(10))));
}

#[test]
fn a_contact_survives_a_record_that_does_not_verify() {
    let mut peer = StoredPeer::new(NodeId([1; 32]), vec![1, 2, 3], at(1));
    assert_eq!(Directory::of(&[peer.clone()]).iter().count(), 0);
    peer.trust = Trust::Blocked;
    let directory = Directory::of(&[peer]);
    assert!(directory.iter().all(|entry| entry.trust == Trust::Blocked && !entry.has_record()));
    assert_eq!(directory.iter().count(), 1);
}

#[test]
fn room_is_made_by_forgetting_the_one_seen_longest_ago() {
    let mut directory = Directory { capacity: 3, ..Directory::new() };
    for node in 1..=3 {
        see(&mut directory, &record(node, node, None, 1), node.into());
    }
    directory.set_present(&record(1, 1, None, 1).id, true, at(1));
    let keep = record(2, 2, None, 1).id;
    let new = record(4, 4, None, 1);
    let refresh = directory.refresh(&new, b"", at(4), true, |id| id == keep);
    assert_eq!((refresh.change, refresh.evicted), (Change::New, Some(record(3, 3, None, 1).id)));
    let refresh = directory.refresh(&record(5, 5, None, 1), b"", at(5), true, |_| true);
    assert_eq!((refresh.change, refresh.evicted), (Change::Refused, None));
    assert_eq!(directory.iter().count(), 3);
    assert_eq!(directory.by_address.len(), 3);
}

#[test]
fn two_ids_with_one_address_do_not_meet() {
    let mut directory = Directory::new();
    let (mut a, mut b) = (record(1, 1, None, 1), record(1, 1, None, 1));
    (a.id.0[31], b.id.0[31]) = (1, 2);
    assert_eq!(see(&mut directory, &a, 1).change, Change::New);
    assert_eq!(see(&mut directory, &b, 1).change, Change::Refused);
}
