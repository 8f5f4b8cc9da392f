//! Whatever way a file changes, the change is found without a signal.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::Path,
    process::Command,
};

use super::rig::{OTHER, Rig, SECRET, literal, replace, route};
use crate::support::{process::Process, wait_for};

const NO_TARGET: &str = "deliver = []";

fn with_route(name: &str) -> String {
    route(name, &literal(SECRET), NO_TARGET)
}

/// As the kubelet does it: each version in a directory of its own, `..data` pointed to it in one step, and the one before
/// removed. The names that programs open are links that never change.
struct ConfigMap<'a> {
    mount: &'a Path,
    versions: u32,
}

impl ConfigMap<'_> {
    fn write(&mut self, files: &[(&str, String)]) {
        let before = fs::read_link(self.mount.join("..data")).ok();
        self.versions += 1;
        let version = format!("..2026_11_21_10_00_0{}.1234567", self.versions);
        let directory = self.mount.join(&version);
        fs::create_dir(&directory).unwrap();
        for (name, content) in files {
            fs::write(directory.join(name), content).unwrap();
        }
        symlink(&version, self.mount.join("..data_tmp")).unwrap();
        fs::rename(self.mount.join("..data_tmp"), self.mount.join("..data")).unwrap();
        for (name, _) in files {
            let name = Path::new(name);
            if self.mount.join(name).read_link().is_err() {
                let link = self.mount.join("..link");
                symlink(Path::new("..data").join(name), &link).unwrap();
                fs::rename(link, self.mount.join(name)).unwrap();
            }
        }
        if let Some(before) = before {
            fs::remove_dir_all(self.mount.join(before)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_followed_through_its_swaps() {
    let rig = Rig::start(&with_route("one")).await;
    let mut map = ConfigMap {
        mount: rig.process.directory.path(),
        versions: 0,
    };
    let whole = |toml: &str| ("routes.toml", rig.process.whole(toml));
    map.write(&[whole(&with_route("two"))]);
    rig.until(1, 0).await;
    assert_eq!(rig.post("one", "a", SECRET).await, 404);
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
    // From now on only `..data` changes; routes.toml, as a link, is the same.
    map.write(&[whole(&with_route("three"))]);
    rig.until(2, 0).await;
    assert_eq!(rig.post("three", "a", SECRET).await, 200);
    map.write(&[("routes.toml", "[routes.".to_owned())]);
    rig.until(2, 1).await;
    assert_eq!(rig.post("three", "b", SECRET).await, 200);
    map.write(&[whole(&with_route("four"))]);
    rig.until(3, 1).await;
    assert_eq!(rig.post("four", "a", SECRET).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_the_name_of_the_other_is_read() {
    let rig = Rig::start(&with_route("one")).await;
    rig.configure(&with_route("two"));
    rig.until(1, 0).await;
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_file_changes_nothing_and_the_rest_of_it_does() {
    let rig = Rig::start(&with_route("one")).await;
    let text = rig.process.whole(&with_route("two"));
    let (first, second) = text.split_at(text.find("path").unwrap() + 7);
    let mut file = File::create(rig.path("routes.toml")).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    rig.until(0, 1).await;
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    file.write_all(second.as_bytes()).unwrap();
    rig.until(1, 1).await;
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_and_comes_back_is_no_end() {
    let rig = Rig::start(&with_route("one")).await;
    fs::remove_file(rig.path("routes.toml")).unwrap();
    rig.until(0, 1).await;
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    rig.configure(&with_route("two"));
    rig.until(1, 1).await;
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_is_read_again_when_it_alone_changes() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("github");
    fs::write(&secret, SECRET).unwrap();
    let file = format!("{{ file = \"{}\" }}", secret.display());
    let rig = Rig::start(&route("one", &file, NO_TARGET)).await;
    assert_eq!(rig.post("one", "a", OTHER).await, 401);
    replace(&secret, OTHER);
    rig.until(1, 0).await;
    assert_eq!(rig.post("one", "a", OTHER).await, 200);
    assert_eq!(rig.post("one", "b", SECRET).await, 401);
    // Gone, it is missed, and looked for.
    fs::remove_file(&secret).unwrap();
    rig.until(1, 1).await;
    assert_eq!(rig.post("one", "c", OTHER).await, 200);
    fs::write(&secret, SECRET).unwrap();
    rig.until(2, 1).await;
    assert_eq!(rig.post("one", "d", SECRET).await, 200);
}

/// What lies in `outside` is seen in the program's directory too, as a container sees a host's.
const BOUND: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    r#"mkdir outside inside && cp routes.toml outside && echo "$FIRST_SECRET" > outside/github
    mount --bind outside inside && mount --bind outside/routes.toml routes.toml && exec "$0" "$@""#,
];

#[tokio::test(flavor = "multi_thread")]
async fn changes_behind_a_bind_mount_are_found() {
    let toml = route("one", "{ file = \"inside/github\" }", NO_TARGET);
    let process = Process::spawn_under(BOUND, &toml, &[("FIRST_SECRET", SECRET)]).await;
    let rig = Rig::of(process);
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    rig.put("outside/github", OTHER);
    rig.until(1, 0).await;
    assert_eq!(rig.post("one", "a", OTHER).await, 200);
    // A file that is mounted itself stays the same file: it can only be written in place.
    let text = rig.process.whole(&with_route("two"));
    fs::write(rig.path("outside/routes.toml"), text).unwrap();
    rig.until(2, 0).await;
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_included_directory_come_and_go() {
    let rig = Rig::start(&with_route("one")).await;
    fs::create_dir(rig.path("routes.d")).unwrap();
    rig.put("routes.d/a.toml", with_route("two"));
    rig.configure(&format!(
        "include = [\"routes.d/*.toml\"]\n{}",
        with_route("one")
    ));
    rig.until(1, 0).await;
    assert_eq!(rig.post("two", "a", SECRET).await, 200);
    rig.put("routes.d/b.toml", with_route("three"));
    rig.until(2, 0).await;
    assert_eq!(rig.post("three", "a", SECRET).await, 200);
    rig.put("routes.d/b.toml", "[routes.three]\nspeed = 3\n");
    rig.until(2, 1).await;
    let log = rig.process.stderr();
    assert!(
        log.contains("routes.d/b.toml:2:1: routes.three.speed: "),
        "{log}"
    );
    fs::remove_file(rig.path("routes.d/b.toml")).unwrap();
    rig.until(3, 1).await;
    assert_eq!(rig.post("three", "b", SECRET).await, 404);
    assert_eq!(rig.post("two", "b", SECRET).await, 200);
}

/// A pipe that nobody writes to, as a file system that does not answer, is read for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_to_its_end_holds_up_neither_later_reloads_nor_the_stop() {
    let mut rig = Rig::start(&with_route("one")).await;
    let pipe = rig.path("pipe");
    let make = || {
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
    };
    // It waits for nobody: it is there only while somebody reads.
    let open = || {
        let mut options = File::options();
        options.write(true).custom_flags(nix::libc::O_NONBLOCK);
        options.open(&pipe).ok()
    };
    let from_pipe = || route("two", "{ file = \"pipe\" }", NO_TARGET);
    make();
    rig.configure(&from_pipe());
    let mut writer = wait_for("the reading of the pipe", async || open()).await;
    let reply = rig.process.admin.post("/api/v1/reload", &[], "").await;
    assert_eq!(reply.status.as_u16(), 422, "{}", reply.text());
    assert!(reply.text().contains("within 20 s"), "{}", reply.text());
    assert_eq!(rig.post("one", "a", SECRET).await, 200);
    // It ends, and the one after it is read.
    rig.configure(&with_route("three"));
    rig.put("pipe", OTHER);
    writer.write_all(OTHER.as_bytes()).unwrap();
    drop(writer);
    wait_for("the reload that comes after", async || {
        (rig.post("three", "a", SECRET).await == 200).then_some(())
    })
    .await;

    fs::remove_file(&pipe).unwrap();
    make();
    rig.configure(&from_pipe());
    let _held = wait_for("the reading of the pipe", async || open()).await;
    assert!(rig.process.terminate().await.success());
}
