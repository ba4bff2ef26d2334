//! The page, as a person sees it, in headless Chromium.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use std::path::PathBuf;

use todo_e2e::{Browser, Cluster, Mode, eventually};

#[test]
fn a_poison_event_is_seen_redriven_from_the_page_and_handled_once() {
    let cluster = Cluster::start(Mode::Embedded, true);
    let page = registered(&cluster, 1000, 900);
    page.wait_for_text("#who", "ada@example.org");

    page.click("#tab-operations");
    page.fill("#fault-form input[name=refuse]", "poison");
    page.click("#fault-form button[type=submit]");
    page.wait_for_text("#message", "Broken");

    page.click("#tab-tasks");
    page.fill("#add input[name=title]", "poison pill");
    page.click("#add button");
    page.wait_for_text("#task-list", "poison pill");

    page.click("#tab-operations");
    page.wait_for_text(
        "#dead-letters tr[data-state=open]",
        "a word that is refused",
    );
    page.wait_for_text("#breakers tbody", "closed");
    page.wait_for_text("#broker", "SQLite");
    page.screenshot(&pictures().join("dead-letter.png"));

    page.click("#mend");
    page.wait_for_text("#message", "Mended");
    page.click("#dead-letters tr[data-state=open] button");
    page.wait_for_text("#dead-letters tr[data-state=redriven]", "redriven");

    page.click("#tab-notifications");
    page.wait_for_text("#notification-list", "New task: poison pill");
    page.screenshot(&pictures().join("redriven.png"));
    // A second copy would be handled before the event of a later task.
    page.click("#tab-tasks");
    page.fill("#add input[name=title]", "harmless");
    page.click("#add button");
    page.click("#tab-notifications");
    page.wait_for_text("#notification-list", "harmless");
    assert_eq!(page.count("#notification-list li"), 2);
}

#[test]
fn a_narrow_screen_needs_no_sideways_scrolling_and_the_keyboard_reaches_everything() {
    let cluster = Cluster::start(Mode::Embedded, true);
    let page = registered(&cluster, 375, 700);
    for tab in ["#tab-tasks", "#tab-notifications", "#tab-operations"] {
        page.click(tab);
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        eventually("a page that fits", || {
            page.evaluate(fits).as_bool().filter(|fits| *fits)
        });
    }
    page.screenshot(&pictures().join("narrow.png"));
    let unreachable = "[...document.querySelectorAll('button, input')].filter((e) => \
        e.offsetParent && e.tabIndex < 0 && e.getAttribute('role') !== 'tab').length";
    assert_eq!(page.evaluate(unreachable), 0);
}

/// A browser of this size in which a person has just registered.
fn registered(cluster: &Cluster, width: u32, height: u32) -> Browser {
    let page = Browser::open(width, height);
    page.visit(cluster.url());
    page.fill("input[name=email]", "ada@example.org");
    page.fill("input[name=password]", "correct horse");
    page.click("button[value=register]");
    page
}

/// Where the pictures are kept: beside the build, for whoever wants to look.
fn pictures() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let folder = test
        .ancestors()
        .nth(3)
        .expect("the build folder")
        .join("todo-page");
    std::fs::create_dir_all(&folder).expect("the folder for pictures");
    folder
}
