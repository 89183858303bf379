//! What the application is told behind its calls: receivers that come and go, a full spool, losses, adoption.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Event;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::wait;

/// Everything told so far.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn client(&self, url: &str) -> Client {
        let mut config = Config::from_url(url).unwrap();
        let told = self.clone();
        config.on_event(move |event| told.0.lock().unwrap().push(event.clone()));
        Client::start(&config).unwrap()
    }

    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn wait_for(&self, what: &str, is_wanted: impl Fn(&Event) -> bool) {
        wait::until(what, || self.all().iter().any(&is_wanted));
    }
}

#[test]
fn a_receiver_that_is_down_comes_up_and_dies_is_told_once_each_time() {
    let site = Site::new();
    let address = lasting_address();
    let told = Told::default();
    let client = told.client(&site.url(&[address], ""));
    let name = address.to_string();
    // The threads start with the first record.
    client.info("nobody is there");
    told.wait_for("down", |event| *event == Event::ReceiverDown { address: name.clone() });
    let receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    told.wait_for("up", |event| *event == Event::ReceiverUp { address: name.clone() });
    client.info("delivered");
    client.flush(wait::PATIENCE).unwrap();
    receiver.kill();
    wait::until("down again", || told.all().len() == 3);
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    wait::until("and up again", || told.all().len() >= 4);
    client.close(wait::PATIENCE).unwrap();
    let is_up = |event: &Event| matches!(event, Event::ReceiverUp { .. });
    let told: Vec<bool> = told.all().iter().map(is_up).collect();
    assert_eq!(told[..4], [false, true, false, true]);
}

#[test]
fn a_full_spool_and_exactly_the_records_it_gave_up_are_told() {
    let site = Site::new();
    let address = lasting_address();
    let told = Told::default();
    let url = site.url(
        &[address],
        "spool.bytes_max=16MiB&batch.bytes=64KiB&codec=none\
         &ring.full=block&ring.full_deadline=1m",
    );
    let client = told.client(&url);
    wait::until("something is given up", || {
        for _ in 0..100 {
            client.log(Severity::Info, "x".repeat(1000)).unwrap();
        }
        client.stats().dropped_total() > 0
    });
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    client.flush(wait::PATIENCE).unwrap();
    told.wait_for("room", |event| *event == Event::SpoolHasRoom);
    let stats = client.close(wait::PATIENCE).unwrap();
    let told = told.all();
    assert!(told.contains(&Event::SpoolFull), "{told:?}");
    let mut numbers = 0..0;
    let mut lost = 0;
    for event in &told {
        if let Event::Loss { first_record, count, cause, .. } = event {
            assert!(cause.starts_with("quota"), "{cause}");
            assert!(*first_record >= numbers.end, "told twice: {told:?}");
            numbers = *first_record..first_record + count;
            lost += count;
        }
    }
    assert_eq!(lost, stats.dropped_total());
    assert_eq!((stats.events_lost, stats.callback_panics), (0, 0));
}

#[test]
fn what_a_dead_process_left_is_told_with_its_number_of_records() {
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], "name=application&ring.full=block&spool.full=block");
    let mut application = Application::start(0, &url, &site.file("witness"), None);
    application.wait_for(100);
    application.kill();
    let told = Told::default();
    let client = told.client(&url);
    told.wait_for("an adopted slot", |event| matches!(event, Event::SlotAdopted { .. }));
    wait::until("the figures have it", || client.adoption_done());
    let adopted: Vec<u64> = told
        .all()
        .iter()
        .filter_map(|event| match event {
            Event::SlotAdopted { stored, .. } => Some(*stored),
            _ => None,
        })
        .collect();
    assert_eq!(adopted, [client.stats().sender.adopted_stored]);
    assert!(adopted[0] >= 100);
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    client.flush(wait::PATIENCE).unwrap();
    client.close(wait::PATIENCE).unwrap();
}

/// The callback logs about everything it is told, asks for figures, blocks, panics, and closes the client.
#[test]
fn a_callback_may_do_what_it_likes() {
    let site = Site::new();
    let address = lasting_address();
    let own: Arc<OnceLock<Client>> = Arc::default();
    let (handle, calls) = (own.clone(), Arc::new(Mutex::new(0_u64)));
    let counted = calls.clone();
    let mut config = Config::from_url(&site.url(&[address], "")).unwrap();
    config.on_event(move |event| {
        let client = handle.wait();
        client.log(Severity::Warn, format!("told: {event:?}")).unwrap();
        assert_eq!(client.stats().panics, 0);
        *counted.lock().unwrap() += 1;
        match event {
            Event::ReceiverDown { .. } => panic!("on purpose"),
            _ => client.clone().close(Duration::ZERO).map_or((), drop),
        }
    });
    own.set(Client::start(&config).unwrap()).unwrap();
    let client = own.get().unwrap();
    // The threads start with the first record.
    client.info("nobody is there");
    wait::until("its panic is counted", || client.stats().callback_panics == 1);
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    wait::until("it has closed the client", || client.log(Severity::Info, "late").is_err());
    assert_eq!(*calls.lock().unwrap(), 2);
}
