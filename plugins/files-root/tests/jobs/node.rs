//! Node with one tree in a folder of its own, and the files that the other half has staged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use spared_files_root::job::{Jobs, Places};
use spared_sdk::config::Config;
use spared_tree::local::{Answer, Request, StateInfo, decode, encode, with_output};
use spared_tree::{Hash, Manifest, RootFolder, Scanner, config};

static GO_ON: AtomicBool = AtomicBool::new(false);

pub struct Node {
    pub folder: PathBuf,
    keys: String,
    /// True if another process removes the folder.
    is_borrowed: bool,
}

/// Path below the folder, and its content: a text, `-> target`, or `/` for a folder.
pub type Files = BTreeMap<String, String>;

impl Node {
    /// Creates a node. `keys` are further keys of the tree; `@` in them is the folder.
    pub fn new(test: &str, keys: &str) -> Self {
        let name = format!("spared-files-{test}-{}", std::process::id());
        // in memory if possible: flushing a disk that others use takes time
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            memory.join(name)
        } else {
            std::env::temp_dir().join(name)
        };
        let _ = fs::remove_dir_all(&folder);
        for part in ["etc", "state", "stage"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let keys = keys.replace('@', &folder.display().to_string());
        let node = Self {
            folder,
            keys,
            is_borrowed: false,
        };
        fs::write(node.folder.join("files.toml"), node.toml("etc")).unwrap();
        node
    }

    /// Node that another process created.
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            keys: String::new(),
            is_borrowed: true,
        }
    }

    /// Saves a request for another process.
    pub fn keep(&self, request: &Request) {
        fs::write(self.folder.join("request"), encode(request)).unwrap();
    }

    pub fn kept(&self) -> Request {
        let bytes = fs::read(self.folder.join("request")).unwrap();
        decode(&bytes).unwrap()
    }

    fn toml(&self, etc: &str) -> String {
        let etc = self.folder.join(etc);
        let etc = etc.display();
        let keys = &self.keys;
        format!(
            "[[tree]]\nname = \"fw\"\npaths = [\"{etc}/fw\", \"{etc}/fw.conf\"]\n\
             exclude = [\"*.local\"]\n{keys}\n"
        )
    }

    pub fn places(&self) -> Places {
        Places {
            root: PathBuf::from("/"),
            config: self.folder.join("files.toml"),
            state: self.folder.join("state"),
            stage: self.folder.join("stage"),
            node: "r1".to_owned(),
            nodes: Vec::new(),
            config_from_peer: false,
        }
    }

    pub fn jobs<'j>(&self, step: &'j dyn Fn(&str)) -> Jobs<'j> {
        Jobs::new(self.places(), &GO_ON, step).unwrap()
    }

    /// Writes the files of the tree.
    pub fn write(&self, files: &Files) {
        write(&self.folder.join("etc"), files);
    }

    /// Files of the tree, without excluded ones.
    pub fn read(&self) -> Files {
        let mut files = Files::new();
        read(&self.folder.join("etc"), "", &mut files);
        files.retain(|path, _| !path.ends_with(".local"));
        files
    }

    /// Stages other files for the tree; returns the request to put them in place.
    pub fn stage(&self, files: &Files) -> Request {
        let manifest = self.manifest_of(files);
        self.stage_manifest(&manifest)
    }

    /// Stages these files, and returns their manifest.
    pub fn manifest_of(&self, files: &Files) -> Manifest {
        let other = self.folder.join("other");
        let _ = fs::remove_dir_all(&other);
        write(&other, files);
        let mut manifest = self.scan("other");
        let from = other.display().to_string();
        let to = self.folder.join("etc").display().to_string();
        for entry in &mut manifest.entries {
            if matches!(entry.kind, spared_tree::Kind::File { .. }) {
                let content = fs::read(&entry.path).unwrap();
                let both = spared_tree::own::split(&content).unwrap();
                let content = both.map_or(content, |it| it.both);
                let name = Hash::of(&content).name();
                fs::write(self.folder.join("stage").join(name), content).unwrap();
            }
            entry.path = entry.path.replace(&from, &to);
        }
        fs::remove_dir_all(&other).unwrap();
        manifest
    }

    pub fn stage_manifest(&self, manifest: &Manifest) -> Request {
        let bytes = manifest.encode();
        let hash = Hash::of(&bytes);
        fs::write(self.folder.join("stage").join(hash.name()), bytes).unwrap();
        Request::Install {
            ticket: 7,
            tree: "fw".to_owned(),
            manifest: hash,
            expected: self.scan("etc").digest(),
            origin: "r2".to_owned(),
            confirm_s: 0,
            only_check: false,
            insists: false,
        }
    }

    pub fn scan(&self, etc: &str) -> Manifest {
        let text = self.toml(etc);
        let config = Config::parse(&text, "r1", &[]).unwrap();
        let settings = config::read(&config).unwrap();
        config.finish().unwrap();
        let root = RootFolder::new(Path::new("/")).unwrap();
        let scanned = Scanner::default().scan(&root, &settings.trees[0], &GO_ON);
        scanned.unwrap()
    }

    pub fn log(&self) -> Vec<StateInfo> {
        let tree = "fw".to_owned();
        match self.ask(&Request::Log { ticket: 1, tree }).pop() {
            Some(Answer::States { states, .. }) => states,
            other => panic!("{other:?}"),
        }
    }

    pub fn ask(&self, request: &Request) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.jobs(&|_| ())
            .handle(request, &mut |it| answers.push(it));
        answers
    }

    /// Runs a change to its end.
    pub fn run(&self, request: &Request) -> Result<String, String> {
        self.run_with(&|_| (), request)
    }

    pub fn run_with(&self, step: &dyn Fn(&str), request: &Request) -> Result<String, String> {
        let mut last = None;
        self.jobs(step).handle(request, &mut |it| last = Some(it));
        match last {
            Some(Answer::Done { ticket: 7, result }) => {
                result.map(|it| it.text()).map_err(|why| with_output(&why))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Output of the apply command.
    pub fn applied(&self) -> String {
        fs::read_to_string(self.folder.join("applied")).unwrap_or_default()
    }

    /// Temporary files that a change left anywhere.
    pub fn leftovers(&self) -> Vec<String> {
        let mut files = Files::new();
        read(&self.folder.join("etc"), "", &mut files);
        files
            .into_keys()
            .filter(|it| it.ends_with(".spared"))
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.is_borrowed {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn files(of: &[(&str, &str)]) -> Files {
    let one = |(path, it): &(&str, &str)| ((*path).to_owned(), (*it).to_owned());
    of.iter().map(one).collect()
}

fn write(folder: &Path, files: &Files) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for (path, it) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match it.strip_prefix("-> ") {
            Some(target) => symlink(target, &path).unwrap(),
            None if it == "/" => fs::create_dir_all(&path).unwrap(),
            None => fs::write(&path, it).unwrap(),
        }
        if it == "secret" {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            files.insert(name, format!("-> {}", target.display()));
        } else if kind.is_dir() {
            let before = files.len();
            read(&path, &format!("{name}/"), files);
            if files.len() == before {
                files.insert(name, "/".to_owned());
            }
        } else {
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
