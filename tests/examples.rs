//! The examples are in order, as they stand.

use std::path::Path;
use std::process::Command;

#[test]
fn examples_pass_the_check_without_a_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("config.toml").is_file() {
            continue;
        }
        let text = std::fs::read_to_string(folder.join("example.env")).unwrap();
        let secrets =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let output = Command::new(env!("CARGO_BIN_EXE_crossdock"))
            .args(["check", "--json", "--config"])
            .arg(folder.join("config.toml"))
            .envs(secrets)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}: {said}", folder.display());
        let problems: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(problems, serde_json::json!([]), "{}", folder.display());
        checked += 1;
    }
    assert_eq!(checked, 2);
}
