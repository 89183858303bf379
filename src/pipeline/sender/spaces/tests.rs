//! Partitions that come and go, in virtual time.

use super::*;
use crate::proto::kafka::client::BrokerView;
use crate::proto::kafka::client::PartitionView;

const TOPIC: &str = "topic";

fn spaces() -> Spaces {
    let mut spaces = Spaces::new(TargetMode::Kafka, 5, true);
    spaces.producer = Producer::Known { id: 7, epoch: 0 };
    spaces
}

fn listing(count: i32, error: ErrorCode) -> ClusterView {
    let none = ErrorCode::None;
    let partitions = (0..count).map(|index| PartitionView {
        index,
        leader: Some(1),
        leader_epoch: 0,
        error: none,
    });
    let topic = TopicView { name: TOPIC.to_owned(), error, partitions: partitions.collect() };
    let broker = BrokerView { id: 1, host: "broker".to_owned(), port: 9092 };
    ClusterView { brokers: vec![broker], topics: vec![topic] }
}

fn open_partitions(spaces: &mut Spaces) -> Vec<i32> {
    let open = spaces.open_for(TOPIC, None, 1);
    open.into_iter().map(|id| spaces.get(id).partition).collect()
}

fn count(spaces: &Spaces) -> u32 {
    spaces.partition_count(TOPIC).map_or(0, NonZeroU32::get)
}

#[test]
fn a_partition_that_is_not_listed_gets_nothing_new_and_is_gone_in_time() {
    let (mut spaces, start) = (spaces(), Moment(1));
    spaces.update(start, &listing(12, ErrorCode::None));
    let id = spaces.of_partition(TOPIC, 8);
    spaces.get(id).hold(1);
    spaces.update(start, &listing(6, ErrorCode::None));
    assert_eq!(open_partitions(&mut spaces), (0..6).collect::<Vec<_>>());
    assert_eq!((count(&spaces), spaces.present(TOPIC, 8)), (12, 8));
    let almost = start.after(GONE_AFTER - Duration::from_nanos(1));
    spaces.update(almost, &listing(6, ErrorCode::None));
    assert_eq!(spaces.gone(), []);
    spaces.update(start.after(GONE_AFTER), &listing(6, ErrorCode::None));
    assert_eq!(spaces.gone(), [id], "only where batches wait");
    assert_eq!((count(&spaces), spaces.present(TOPIC, 8), spaces.present(TOPIC, 5)), (6, 2, 5));
    spaces.update(start.after(GONE_AFTER), &listing(12, ErrorCode::None));
    assert_eq!((count(&spaces), spaces.present(TOPIC, 8)), (12, 8), "it is there again");
    assert_eq!(spaces.gone(), []);
}

/// A broker that is behind lists what was; one that does not know, nothing.
#[test]
fn brokers_that_are_behind_make_nothing_gone() {
    let (mut spaces, start) = (spaces(), Moment(1));
    spaces.update(start, &listing(12, ErrorCode::None));
    let id = spaces.of_partition(TOPIC, 8);
    spaces.get(id).hold(1);
    for turn in 0..10 {
        let now = start.after(GONE_AFTER * turn);
        spaces.update(now, &listing(6, ErrorCode::None));
        spaces.update(now, &listing(12, ErrorCode::None));
        assert_eq!((count(&spaces), spaces.gone()), (12, vec![]));
    }
    for (turn, error) in [(0, ErrorCode::None), (6, ErrorCode::LeaderNotAvailable)] {
        spaces.update(start.after(GONE_AFTER * 20), &listing(turn, error));
        spaces.update(start.after(GONE_AFTER * 30), &listing(turn, error));
        assert_eq!((count(&spaces), spaces.gone()), (12, vec![]));
        assert_eq!(open_partitions(&mut spaces).len(), 11, "all but the one that is held");
    }
}

/// What a dead process had bound comes for a partition that was never listed.
#[test]
fn a_partition_that_was_never_there_is_gone_as_well() {
    let (mut spaces, start) = (spaces(), Moment(1));
    spaces.update(start, &listing(6, ErrorCode::None));
    let id = spaces.of_partition(TOPIC, 8);
    spaces.get(id).hold(1);
    spaces.update(start.after(GONE_AFTER), &listing(6, ErrorCode::None));
    assert_eq!(spaces.gone(), [], "listed without it for the first time");
    assert_eq!(spaces.awaited_leaders().collect::<Vec<_>>(), [None], "so it is asked for again");
    spaces.update(start.after(GONE_AFTER * 2), &listing(6, ErrorCode::None));
    assert_eq!(spaces.gone(), [id]);
    assert_eq!(count(&spaces), 6);
}
