//! Where this test binary, started again, is an application (`support::application`).

/// No test, but what `Application::start` starts; without orders it has nothing to do.
#[test]
fn application() {
    crate::support::application::run();
}
