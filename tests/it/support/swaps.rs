//! Files that are exchanged as a whole: by careful programs, and by the kubelet.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Replaces a file as careful programs do.
pub(crate) fn replace(path: &Path, text: &str) {
    let draft = path.with_extension("new");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

/// What the kubelet does: a new directory, one rename of the link to it, and the old directory is gone. The file is called `secret`.
pub(crate) fn swap(volume: &Path, version: usize, text: &str) {
    let directory = volume.join(format!("..{version}"));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("secret"), text).unwrap();
    symlink(format!("..{version}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if version == 0 {
        symlink("..data/secret", volume.join("secret")).unwrap();
    } else {
        fs::remove_dir_all(volume.join(format!("..{}", version - 1))).unwrap();
    }
}
