//! Whether the files of a configuration have changed: by looking, not by being told. What tells of changes tells nothing of those
//! behind a bind mount, on a network file system or behind a symbolic link that is pointed elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::Duration,
};

use tokio::time::sleep;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A change is taken when two looks this far apart see the same: whoever writes has finished.
const SETTLED_AFTER: Duration = Duration::from_millis(250);
/// ... or after so many looks: a file that never rests is no reason never to read it.
const LOOKS_MAX: usize = 40;

/// How files and directories stood when they were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<PathBuf, Look>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Absent(io::ErrorKind),
    Present {
        device: u64,
        inode: u64,
        bytes: u64,
        /// Seconds and nanoseconds.
        modified: (i64, i64),
        /// Of the content or the permissions; nobody can set it back.
        changed: (i64, i64),
    },
}

impl Snapshot {
    /// Through symbolic links: what counts is what would be read.
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let looks = files.into_iter().map(|file| {
            let look = match std::fs::metadata(&file) {
                Err(error) => Look::Absent(error.kind()),
                Ok(found) => Look::Present {
                    device: found.dev(),
                    inode: found.ino(),
                    bytes: found.size(),
                    modified: (found.mtime(), found.mtime_nsec()),
                    changed: (found.ctime(), found.ctime_nsec()),
                },
            };
            (file, look)
        });
        Self(looks.collect())
    }

    pub(super) fn has_all(&self, files: &BTreeSet<PathBuf>) -> bool {
        files.iter().all(|file| self.0.contains_key(file))
    }

    /// Leaves these only.
    pub(super) fn of_these(mut self, files: &BTreeSet<PathBuf>) -> Self {
        self.0.retain(|file, _| files.contains(file));
        self
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// The same files, as they stand now. A file system that does not answer holds up nobody but whoever waits for this.
    async fn again(&self) -> Self {
        let files: Vec<_> = self.files().cloned().collect();
        let looking = tokio::task::spawn_blocking(|| Self::of(files));
        // It fails only when the process ends.
        looking.await.unwrap_or_else(|_| self.clone())
    }

    /// Returns when a file is another than it was, and has come to rest.
    pub(super) async fn changed(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let mut last = self.again().await;
            if last == *self {
                continue;
            }
            for _ in 0..LOOKS_MAX {
                sleep(SETTLED_AFTER).await;
                let now = self.again().await;
                if now == last {
                    break;
                }
                last = now;
            }
            // What was undone meanwhile is no change.
            if last != *self {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn look(files: &[&Path]) -> Snapshot {
        Snapshot::of(files.iter().map(|file| file.to_path_buf()))
    }

    #[test]
    fn whatever_can_happen_to_a_file_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let file = at("routes.toml");
        let step = |what: &str, change: &dyn Fn()| {
            let before = look(&[&file]);
            assert_eq!(before, look(&[&file]), "{what}: nothing happened yet");
            change();
            assert_ne!(before, look(&[&file]), "{what}");
        };
        step("it comes", &|| fs::write(&file, "a").unwrap());
        step("it grows", &|| fs::write(&file, "ab").unwrap());
        step("another takes its name", &|| {
            fs::write(at("new"), "cd").unwrap();
            fs::rename(at("new"), &file).unwrap();
        });
        step("another of the same size and time takes its name", &|| {
            fs::write(at("new"), "ef").unwrap();
            let modified = fs::metadata(&file).unwrap().modified().unwrap();
            fs::File::options()
                .write(true)
                .open(at("new"))
                .unwrap()
                .set_modified(modified)
                .unwrap();
            fs::rename(at("new"), &file).unwrap();
        });
        step("it goes", &|| fs::remove_file(&file).unwrap());
        fs::create_dir(at("one")).unwrap();
        fs::create_dir(at("two")).unwrap();
        fs::write(at("one/routes.toml"), "a").unwrap();
        fs::write(at("two/routes.toml"), "b").unwrap();
        symlink("one", at("data")).unwrap();
        step("it is a link", &|| {
            symlink("data/routes.toml", &file).unwrap()
        });
        step("a link on the way is pointed elsewhere", &|| {
            symlink("two", at("data_tmp")).unwrap();
            fs::rename(at("data_tmp"), at("data")).unwrap();
        });
    }

    #[test]
    fn a_directory_is_seen_to_get_and_lose_files() {
        let directory = tempfile::tempdir().unwrap();
        // Clocks of file systems are coarse.
        let age = || {
            let opened = fs::File::open(directory.path()).unwrap();
            opened.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        age();
        let before = look(&[directory.path()]);
        fs::write(directory.path().join("a.toml"), "").unwrap();
        assert_ne!(before, look(&[directory.path()]));
        age();
        let between = look(&[directory.path()]);
        fs::remove_file(directory.path().join("a.toml")).unwrap();
        assert_ne!(between, look(&[directory.path()]));
    }
}
