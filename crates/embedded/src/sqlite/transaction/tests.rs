use std::sync::Arc;

use miaosha_testkit::contract::{poll_once, run};
use rusqlite::Connection;

use super::*;
use crate::sqlite::{Access, DirectoryLock, open};

/// A database of one table, and its thread.
struct Scene {
    writer: Connections,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn set() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lock = Arc::new(DirectoryLock::take(directory.path()).unwrap());
        let path = directory.path().join("test.sqlite");
        let connection = open(&path, Access::Write, &["CREATE TABLE notes (text TEXT NOT NULL)"]).unwrap();
        let writer = Connections::start("test", vec![connection], &lock).unwrap();
        Self { writer, path, _directory: directory }
    }

    async fn begin(&self, longest: Duration) -> HeldTransaction {
        let begun = HeldTransaction::begin(&self.writer, longest, "begin", |_| Ok(Some(()))).await;
        begun.unwrap().unwrap().0
    }

    fn notes(&self) -> u64 {
        let connection = Connection::open(&self.path).unwrap();
        connection.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
    }
}

const LONG: Duration = Duration::from_mins(1);

fn note(connection: &Connection) -> Result<(), Failure> {
    connection.execute("INSERT INTO notes VALUES ('x')", [])?;
    Ok(())
}

fn fail(connection: &Connection) -> Result<(), Failure> {
    connection.execute("INSERT INTO notes VALUES (NULL)", [])?;
    Ok(())
}

fn is_retryable<T>(result: &PortResult<T>) -> bool {
    matches!(result, Err(PortError::Retryable { .. }))
}

#[test]
fn steps_are_committed_together() {
    run(async {
        let scene = Scene::set();
        let held = scene.begin(LONG).await;
        held.look("look", note).await.unwrap();
        assert_eq!(scene.notes(), 0);
        held.commit("commit", note).await.unwrap();
        assert_eq!(scene.notes(), 2);
    });
}

#[test]
fn a_transaction_that_finds_nothing_is_over_at_once() {
    run(async {
        let scene = Scene::set();
        let begin = HeldTransaction::begin(&scene.writer, LONG, "begin", |connection| {
            note(connection)?;
            Ok(None::<()>)
        });
        assert!(begin.await.unwrap().is_none());
        scene.begin(LONG).await.commit("commit", |_| Ok(())).await.unwrap();
        assert_eq!(scene.notes(), 0);
    });
}

#[test]
fn a_transaction_that_takes_too_long_is_rolled_back_and_the_next_begins() {
    run(async {
        let scene = Scene::set();
        let silent = scene.begin(Duration::from_millis(20)).await;
        silent.look("look", note).await.unwrap();
        let next = scene.begin(LONG).await;
        assert!(is_retryable(&silent.look("look", note).await));
        assert!(is_retryable(&silent.commit("commit", note).await));
        next.commit("commit", note).await.unwrap();
        assert_eq!(scene.notes(), 1);
    });
}

#[test]
fn a_busy_transaction_does_not_hold_the_writer_for_ever() {
    run(async {
        let scene = Scene::set();
        let busy = scene.begin(Duration::from_millis(20)).await;
        while busy.look("look", note).await.is_ok() {}
        scene.begin(LONG).await.commit("commit", |_| Ok(())).await.unwrap();
        assert_eq!(scene.notes(), 0);
    });
}

#[test]
fn a_failed_step_ends_the_transaction() {
    run(async {
        let scene = Scene::set();
        let held = scene.begin(LONG).await;
        held.look("look", note).await.unwrap();
        assert!(held.look("look", fail).await.unwrap_err().is_terminal());
        assert!(is_retryable(&held.look("look", note).await));
        assert!(is_retryable(&held.commit("commit", note).await));
        assert_eq!(scene.notes(), 0);
    });
}

#[test]
fn a_failed_commit_writes_nothing() {
    run(async {
        let scene = Scene::set();
        let held = scene.begin(LONG).await;
        held.look("look", note).await.unwrap();
        assert!(held.commit("commit", fail).await.unwrap_err().is_terminal());
        assert_eq!(scene.notes(), 0);
    });
}

#[test]
fn a_commit_dropped_before_it_has_begun_writes_nothing() {
    run(async {
        let scene = Scene::set();
        let held = scene.begin(LONG).await;
        let (go, gate) = std::sync::mpsc::channel::<()>();
        {
            let mut commit = Box::pin(held.commit("commit", move |connection| {
                note(connection)?;
                gate.recv().expect("the test opens the gate");
                Ok(())
            }));
            assert!(poll_once(commit.as_mut()).await.is_none());
        }
        go.send(()).unwrap();
        scene.begin(LONG).await.commit("commit", |_| Ok(())).await.unwrap();
        assert_eq!(scene.notes(), 0);
    });
}

#[test]
fn a_full_disk_may_be_emptied() {
    run(async {
        let scene = Scene::set();
        let limit_pages = async |pages: u32| {
            let set = move |connection: &mut Connection| {
                Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
            };
            scene.writer.call("limit", set).await.unwrap();
        };
        let fill = |connection: &Connection| {
            connection.execute("INSERT INTO notes VALUES (printf('%.100000c', 'x'))", [])?;
            Ok(())
        };
        limit_pages(3).await;
        let held = scene.begin(LONG).await;
        held.look("look", note).await.unwrap();
        assert!(is_retryable(&held.commit("commit", fill).await));
        assert_eq!(scene.notes(), 0);
        limit_pages(1_000_000).await;
        scene.begin(LONG).await.commit("commit", fill).await.unwrap();
        assert_eq!(scene.notes(), 1);
    });
}
