//! Help lines, obeyed: what they say removes the error or warning (issue 16, item 1).

use std::path::PathBuf;
use std::process::Command;

use dataset::codes;
use testkit::{FakeMl, Outcome, run};

use super::BIN;

/// Code or message of a finding, command line, files, and what the help line says.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static [u8])],
    fn(&mut Situation),
);

/// Rows with two labels, and a command that trains on them.
const WORDS: &[u8] = b"text,label\ngood film,pos\nbad film,neg\nfine plot,pos\npoor plot,neg\n\
    great cast,pos\nweak cast,neg\nnice story,pos\ndull story,neg\nlovely scene,pos\n\
    awful scene,neg\nsuperb end,pos\nsilly end,neg\n";
const TRAIN: &str = "train --train words.csv --model-dir new --no-report --min-df 1";

/// A command line and the folder that it runs in.
struct Situation {
    folder: tempfile::TempDir,
    words: Vec<String>,
    /// Help lines of the finding, as printed.
    help: String,
}

impl Situation {
    fn new(command: &str, files: &[(&str, &[u8])]) -> Self {
        let command = command.replace("TRAIN", TRAIN);
        let situation = Self {
            folder: tempfile::tempdir().unwrap(),
            words: command.split(' ').map(str::to_owned).collect(),
            help: String::new(),
        };
        situation.write("words.csv", WORDS);
        for (name, bytes) in files {
            situation.write(name, bytes);
        }
        if command.contains("--model-dir model") {
            situation.train_model();
        }
        situation
    }

    fn train_model(&self) {
        let train = TRAIN.replace("dir new", "dir model");
        self.svm(train.split(' ')).expect_code(0);
    }

    fn svm<'a>(&self, words: impl Iterator<Item = &'a str>) -> Outcome {
        let mut command = Command::new(BIN);
        command.env_clear().current_dir(self.folder.path());
        command.args(words);
        run(command)
    }

    /// Runs the command line. Returns the help lines of the finding; `None` without the finding.
    fn run(&self, finding: &str) -> (Outcome, Option<String>) {
        let outcome = self.svm(self.words.iter().map(String::as_str));
        let output = outcome.output();
        let mut lines = output.lines().skip_while(|line| !line.contains(finding));
        let help = lines.next().map(|_| {
            let indented = lines.take_while(|line| line.starts_with("  "));
            let help: Vec<_> = indented
                .filter_map(|line| line.strip_prefix("  help: "))
                .collect();
            help.join("\n")
        });
        (outcome, help)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    #[track_caller]
    fn states(&self, part: &str) {
        assert!(
            self.help.contains(part),
            "no `{part}` in the help `{}`",
            self.help
        );
    }

    /// Appends options that the help states.
    #[track_caller]
    fn append(&mut self, options: &str) {
        self.states(options);
        let word = |word: &str| word.trim_matches('\'').to_owned();
        self.words.extend(options.split(' ').map(word));
    }

    /// Replaces a word of the command line by one that the help states.
    #[track_caller]
    fn replace(&mut self, word: &str, by: &str) {
        self.states(by);
        self.set(word, by);
    }

    /// Replaces a word of the command line.
    #[track_caller]
    fn set(&mut self, word: &str, by: &str) {
        let at = self.words.iter().position(|other| other == word).unwrap();
        by.clone_into(&mut self.words[at]);
    }

    /// Leaves out an option that the help states, with its `values`.
    #[track_caller]
    fn leave_out(&mut self, option: &str, values: usize) {
        self.states(option);
        self.remove(option, values);
    }

    /// Removes the last occurrence of a word and `more` after it.
    #[track_caller]
    fn remove(&mut self, word: &str, more: usize) {
        let at = self.words.iter().rposition(|other| other == word).unwrap();
        self.words.drain(at..=at + more);
    }

    /// Runs the shell command of the help on a file.
    #[track_caller]
    fn shell(&mut self, name: &str) {
        let start = self
            .help
            .find("sed '")
            .or(self.help.find("sed -E '"))
            .unwrap();
        let end = self.help.find(" FILE > ").unwrap();
        let script = format!("{} {name} > new && mv new {name}", &self.help[start..end]);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).current_dir(self.folder.path());
        run(shell).expect_code(0);
    }

    /// Edits a file as the help states in the words `because`.
    #[track_caller]
    fn edit(&mut self, because: &str, name: &str, from: &str, to: &str) {
        self.states(because);
        let bytes = std::fs::read(self.path(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(from), "{text}");
        self.write(name, text.replacen(from, to, 1).as_bytes());
    }

    /// Writes a file anew, as the help states in the words `because`.
    #[track_caller]
    fn rewrite(&mut self, because: &str, name: &str, bytes: &[u8]) {
        self.states(because);
        self.write(name, bytes);
    }
}

#[track_caller]
fn obeyed(cases: &[Case]) {
    for (finding, command, files, obey) in cases {
        let mut situation = Situation::new(command, files);
        let (outcome, help) = situation.run(finding);
        situation.help = help.unwrap_or_else(|| {
            let output = outcome.output();
            unreachable!("`{command}` does not print `{finding}`:\n{output}")
        });
        obey(&mut situation);
        let (outcome, help) = situation.run(finding);
        let (words, old) = (&situation.words, &situation.help);
        let output = outcome.output();
        assert_eq!(help, None, "{words:?} after `{old}`:\n{output}");
        assert_eq!(
            outcome.code(),
            Some(0),
            "{words:?} after `{old}`:\n{output}"
        );
    }
}

/// Rows whose labels have class names.
const MANIFEST: &[u8] =
    b"{\"source\":\"a\",\"label\":0,\"label-metadata\":{\"class-name\":\"x\"}}\n\
    {\"source\":\"b\",\"label\":1,\"label-metadata\":{\"class-name\":\"y\"}}\n";

/// Rows with several labels, which have class names.
const MAP_MANIFEST: &[u8] =
    b"{\"source\":\"a\",\"label\":[0],\"label-metadata\":{\"class-map\":{\"0\":\"x\"}}}\n\
    {\"source\":\"b\",\"label\":[1,0],\"label-metadata\":{\"class-map\":{\"0\":\"x\",\"1\":\"y\"}}}\n";

const MIXED_MANIFEST: &[u8] =
    b"{\"source\":\"a\",\"label\":0,\"label-metadata\":{\"class-name\":\"x\"}}\n\
    {\"source\":\"c\",\"label\":1}\n";

const WEIGHTED: &[u8] =
    b"text,label,weight\ngood film,pos,2\nbad film,neg,-1\nfine plot,pos,0.5\npoor plot,neg,1\n";

const GOOD: &[u8] = b"text,label\na,x\nb,y\n";

/// Codes of files and columns.
#[rustfmt::skip]
const FILES: &[Case] = &[
    ("[D001]", "check movies.csv", &[("movie.csv", GOOD)],
        |s| s.replace("movies.csv", "movie.csv")),
    ("[D001]", "check data/a.csv", &[("a.csv", GOOD)], |s| {
        s.states("pass a path relative to the current folder");
        s.set("data/a.csv", "a.csv");
    }),
    ("[D001]", "check s3://bucket/words.csv", &[], |s| {
        // The command needs AWS.
        s.states("fetch it, and pass the file: aws s3 cp s3://bucket/words.csv .");
        s.set("s3://bucket/words.csv", "words.csv");
    }),
    ("[D001]", "check hdfs://host/words.csv", &[], |s| {
        s.states("fetch it, and pass the file");
        s.set("hdfs://host/words.csv", "words.csv");
    }),
    ("[D002]", "check data", &[("data/a.txt", GOOD)], |s| {
        s.states("or pass one file");
        s.set("data", "data/a.txt");
    }),
    ("[D003]", "check a.csv", &[("a.csv", b"text,label\n")],
        |s| s.edit("add at least one row", "a.csv", "label\n", "label\na,x\nb,y\n")),
    ("[D004]", "check a.csv", &[("a.csv", b"text,label,text\na,x,c\nb,y,d\n")],
        |s| s.edit("rename all but one", "a.csv", ",text\n", ",other\n")),
    ("[D005]", "check a.csv", &[("a.csv", b"Text,labels\na,x\nb,y\n")],
        |s| s.append("--text-column Text --label-column labels")),
    ("[D005]", "check a.csv", &[("a.csv", b"review,stars\na,x\nb,y\n")], |s| {
        s.states("pass --text-column NAME --label-column NAME");
        s.words.extend(["--text-column=review", "--label-column=stars"].map(str::to_owned));
    }),
    ("[D005]", "check a.csv", &[("a.csv", b"a,x\nb,y\n")],
        |s| s.edit("the first line must be a header", "a.csv", "a,x", "text,label\na,x")),
    ("[D005]", "check a.csv", &[("a.csv", b"a,x\nb,y\n")], |s| {
        s.states("pass --no-header and the numbers of columns from 0");
        s.words.extend(["--no-header", "--text-column=0", "--label-column=1"].map(str::to_owned));
    }),
    ("[D005]", "check a.csv --no-header", &[("a.csv", b"a,x\nb,y\n")], |s| {
        s.states("pass --text-column NUMBER --label-column NUMBER, counted from 0");
        s.words.extend(["--text-column=0", "--label-column=1"].map(str::to_owned));
    }),
    ("[D005]", "check a.csv --no-header", &[("a.csv", GOOD)], |s| s.leave_out("--no-header", 0)),
    ("[D005]", "check a.jsonl", &[("a.jsonl", b"{\"data\":{\"text\":\"a\"},\"label\":1}\n{\"data\":{\"text\":\"b\"},\"label\":2}\n")],
        |s| s.append("--text-column data.text")),
    ("[D005]", "check a.jsonl", &[("a.jsonl", b"{\"texts\":\"a\",\"label\":1}\n{\"texts\":\"b\",\"label\":2}\n")],
        |s| s.append("--text-column texts")),
    ("[D005]", "check a.csv --no-header --label-column 0 --text-column 1", &[("a.csv", b"0|a; b\n1|c; d\n")],
        |s| { s.states("or --delimiter '|'"); s.words.push("--delimiter=|".to_owned()); }),
    ("[D005]", "predict --model-dir model --input a.txt", &[("a.txt", b"good film\nbad film\n")],
        |s| s.append("--input-format lines")),
    ("[D006]", "check a.csv", &[("a.csv", GZIP.split_at(30).0)],
        |s| s.rewrite("download the file again; it is truncated", "a.csv", GZIP)),
    ("[D006]", "check a.csv", &[("a.csv", GZIP_AND_MORE)],
        // What gunzip does, which is not on every machine.
        |s| s.rewrite("gunzip -c FILE > NEW-FILE", "a.csv", GOOD)),
    ("[D005]", "check a.csv", &[("a.csv", b"text label\n\"a b\" x\n\"c d\" y\n")], |s| {
        s.states("pass --delimiter ' '");
        s.words.extend(["--delimiter", " "].map(str::to_owned));
    }),
    ("[D008]", "check a.csv --encoding latn-1", &[("a.csv", GOOD)],
        |s| s.replace("latn-1", "latin-1")),
    ("[D008]", "check a.csv --encoding klingon", &[("a.csv", GOOD)],
        |s| s.replace("klingon", "utf-8")),
    ("[D025]", "check a.csv --label-column text", &[("a.csv", GOOD)],
        |s| { s.states("different names to --text-column and --label-column"); s.set("text", "label"); }),
    ("[D030]", "check a.csv", &[("a.csv", b"text;label\na;x\nb;y\n")],
        |s| s.append("--delimiter ';'")),
    ("[D030]", "check a.csv", &[("a.csv", b"text\tlabel\na\tx\nb\ty\n")],
        |s| s.append("--delimiter tab")),
    ("[D034]", "check data", &[("data/a.csv", GOOD), ("data/_temporary/b.csv", GOOD)], |s| {
        s.states("or remove it from the folder");
        std::fs::remove_file(s.path("data/_temporary/b.csv")).unwrap();
    }),
    ("[D034]", "check data", &[("data/a.csv", GOOD), ("data/b.txt", b"text,label\nc,x\n")], |s| {
        s.states("rename it");
        std::fs::rename(s.path("data/b.txt"), s.path("data/b.csv")).unwrap();
    }),
    ("[D034]", "check data", &[("data/a.csv", GOOD), ("data/b.txt", b"text,label\nc,x\n")], |s| {
        s.states("or remove it from the folder");
        std::fs::remove_file(s.path("data/b.txt")).unwrap();
    }),
];

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff+I\xad(\xd1\xc9ILJ\xcd\xe1J\
    \xd4\xa9\xe0J\xd2\xa9\xe4\x02\x00:Q\xc3\xc5\x13\x00\x00\x00";

const GZIP_AND_MORE: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff+I\xad(\xd1\xc9ILJ\xcd\xe1J\
    \xd4\xa9\xe0J\xd2\xa9\xe4\x02\x00:Q\xc3\xc5\x13\x00\x00\x00more";

/// Files of other formats: D007, and D009 of parquet.
#[rustfmt::skip]
const FORMATS: &[Case] = &[
    ("[D007]", "check a.csv", &[("a.csv", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n")], |s| {
        s.states("rename it to end in .jsonl");
        std::fs::rename(s.path("a.csv"), s.path("a.jsonl")).unwrap();
        s.set("a.csv", "a.jsonl");
    }),
    ("[D007]", "check a.jsonl", &[("a.jsonl", GOOD)], |s| {
        s.states("rename it to end in .csv");
        std::fs::rename(s.path("a.jsonl"), s.path("a.csv")).unwrap();
        s.set("a.jsonl", "a.csv");
    }),
    ("[D007]", "check a.csv", &[("a.csv", b"__label__x a \"good\" film\n__label__y bad\n")], |s| {
        s.states("rename it to end in .txt");
        std::fs::rename(s.path("a.csv"), s.path("a.txt")).unwrap();
        s.set("a.csv", "a.txt");
    }),
    ("[D016]", "check a.ft", &[("a.ft", b"__label__x __label__y good\n__label__x fine\n__label__y bad\n")],
        |s| s.edit("write a line for each label of it", "a.ft", "__label__x __label__y good", "__label__x good\n__label__y poor")),
    ("[D016]", "check a.ft", &[("a.ft", b"__label__x __label__y good\n__label__x fine\n__label__y bad\n")],
        |s| s.append("--multi-label")),
    ("[D016]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":[\"x\"]}\n{\"text\":\"b\",\"label\":[\"x\",\"y\"]}\n")],
        |s| s.append("--multi-label")),
    ("[D005]", "predict --model-dir model --input words.csv --keep-columns labels=truth", &[],
        |s| { s.states("did you mean --keep-columns label?"); s.set("labels=truth", "label=truth"); }),
    ("the name of a column of the predictions", "predict --model-dir model --input words.csv --keep-columns label", &[],
        |s| s.replace("label", "label=true_label")),
    ("two kept columns have the name", "predict --model-dir model --input words.csv --keep-columns text,text", &[],
        |s| s.replace("text,text", "text=input_text")),
    ("found the folder", "predict --model-dir model --input data --input-format lines", &[("data/a.txt", b"good\n")],
        |s| { s.states("pass a file"); s.set("data", "data/a.txt"); }),
    ("[D007]", "check a.csv", &[("a.csv", b"\"text,label\"\n\"a,x\"\n\"b,y\"\n")], |s| s.shell("a.csv")),
    ("[D007]", "check a.csv", &[("a.csv", b"[{\"text\":\"a\",\"label\":1},{\"text\":\"b\",\"label\":2}]")], |s| {
        s.states("rename it to end in .json");
        std::fs::rename(s.path("a.csv"), s.path("a.json")).unwrap();
        s.set("a.csv", "a.json");
    }),
    ("[D007]", "check a.manifest --text-column source", &[("a.manifest", b"{\"source-ref\":\"s3://b/1\",\"label\":1}\n")],
        // The command needs AWS. This is the file that it writes.
        |s| s.rewrite("write the texts into it as `source`", "a.manifest", b"{\"source\":\"a\",\"label\":1}\n{\"source\":\"b\",\"label\":2}\n")),
    ("[D043]", "check data", &[("data/part-0", GOOD)], |s| {
        s.states("give it the ending of the format, such as .csv");
        std::fs::rename(s.path("data/part-0"), s.path("data/part-0.csv")).unwrap();
    }),
    ("[D044]", "check a.json", &[("a.json", b"[{\"text\":\"a\",\"label\":1},{\"text\":\"b\",\"label\":2}")],
        |s| s.edit("or end it with `]`", "a.json", ":2}", ":2}]")),
    ("[D045]", "check a.manifest --text-column source", &[("a.manifest", MANIFEST)],
        |s| s.append("--label-column label-metadata.class-name")),
    ("[D045]", "check a.manifest --text-column source --multi-label", &[("a.manifest", MAP_MANIFEST)], |s| {
        s.states("rename the file to end in .jsonl");
        std::fs::rename(s.path("a.manifest"), s.path("a.jsonl")).unwrap();
        s.set("a.manifest", "a.jsonl");
    }),
    ("error[D045]", "check a.manifest --text-column source", &[("a.manifest", MIXED_MANIFEST)], |s| {
        let row = "{\"source\":\"c\",\"label\":1}";
        let named = row.replace(":1}", ":1,\"label-metadata\":{\"class-name\":\"y\"}}");
        s.edit("write the class names of these rows", "a.manifest", row, &named);
    }),
    ("[D007]", "check a.json", &[("a.json", b"{\"data\":[{\"text\":\"a\",\"label\":1},{\"text\":\"b\",\"label\":2}]}")],
        // The same without jq, which is not on every machine.
        |s| s.rewrite("jq -c '.[\"data\"][]' FILE > FILE.jsonl", "a.json", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n")),
    ("[D007]", "check a.json", &[("a.json", b"{\"text\":\"a\",\"label\":1}{\"text\":\"b\",\"label\":2}")],
        // The same without jq.
        |s| s.rewrite("jq -c . FILE > FILE.jsonl", "a.json", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n")),
    ("[D007]", "check a.csv", &[("a.csv", b"t\0e\0x\0t\0,\0l\0a\0b\0e\0l\0\n\0a\0,\0x\0\n\0b\0,\0y\0\n\0")],
        |s| s.append("--encoding utf-16le")),
    ("[D007]", "check a.csv", &[("a.csv", b"PK\x03\x04\x14\0")],
        |s| { s.rewrite("pass the file inside", "b.csv", GOOD); s.set("a.csv", "b.csv"); }),
    #[cfg(feature = "parquet")]
    ("[D009]", "check a.parquet", &[("a.parquet", GOOD)], |s| {
        s.states("rename it to end in its own format, such as .csv");
        std::fs::rename(s.path("a.parquet"), s.path("a.csv")).unwrap();
        s.set("a.parquet", "a.csv");
    }),
    #[cfg(not(feature = "parquet"))]
    ("[D007]", "check a.parquet", &[("a.parquet", GOOD)],
        |s| { s.rewrite("convert the file to CSV", "a.csv", GOOD); s.set("a.parquet", "a.csv"); }),
];

/// Codes of rows.
#[rustfmt::skip]
const ROWS: &[Case] = &[
    ("error[D010]", "check a.csv", &[("a.csv", b"text,label\na, b,x\nc,y\nd,x\n")],
        |s| s.append("--drop-malformed")),
    ("[D010]", "check a.csv", &[("a.csv", b"text,label\na, b,x\nc,y\n")],
        |s| s.edit("quote texts that contain the delimiter", "a.csv", "a, b", "\"a, b\"")),
    ("[D010]", "check a.csv", &[("a.csv", b"label,text\nx, \"a, b\"\ny, \"c, d\"\n")], |s| s.shell("a.csv")),
    ("[D010]", "check a.csv", &[("a.csv", b"text,label\n\"a \\\"b\\\", c\",x\nd,y\n")],
        |s| s.append("--escape '\\'")),
    ("[D010]", "check a.csv", &[("a.csv", b"text,label\na,x,\nb,y,\n")], |s| s.shell("a.csv")),
    ("[D010]", "check a.csv", &[("a.csv", b"text,label\n1,a,x\n2,b,y\n")], |s| s.shell("a.csv")),
    // What pandas does.
    ("[D010]", "check a.csv", &[("a.csv", b"text,label\n'a, b',x\n'c, d',y\n")],
        |s| s.rewrite("quotechar=\"'\"", "a.csv", b"text,label\n\"a, b\",x\n\"c, d\",y\n")),
    ("[D060]", "check a.csv", &[("a.csv", b"text,label\na\\, b\\\n c,x\nd,y\n")],
        |s| s.append("--escape '\\'")),
    ("[D060]", "check a.csv", &[("a.csv", b"text,label\na\\,x\nd,y\n")],
        |s| s.edit("otherwise, quote the fields", "a.csv", "a\\", "\"a\\\"")),
    ("[D010]", "check a.csv --quoting none", &[("a.csv", b"text,label\na, b,x\nc,y\n")],
        |s| s.edit("a text cannot contain the delimiter", "a.csv", "a, b", "a b")),
    ("[D010]", "check a.tsv", &[("a.tsv", b"text\tlabel\nx\t\"a\nb\"\ty\n")],
        |s| s.append("--quoting none")),
    ("error[D011]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,y\n\"c,x\n")],
        |s| s.append("--drop-malformed")),
    ("[D011]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,y\n\"c,x\n")],
        |s| s.edit("close it", "a.csv", "\"c", "\"c\"")),
    ("[D011]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,y\n\"c,x\n")],
        |s| s.append("--quoting none")),
    ("[D011]", "check a.csv", &[("a.csv", b"text,label\na,\"x\nb,y\n")], |s| s.append("--quoting none")),
    ("[D011]", "check a.csv", &[("a.csv", b"text,\"label\na,x\nb,y\n")],
        |s| s.edit("close it", "a.csv", "\"label", "\"label\"")),
    ("[D012]", "check a.csv", &[("a.csv", b"text,label\ngr\xfcn,x\nb,y\n")],
        |s| s.append("--encoding latin-1")),
    ("error[D012]", "check a.csv", &[("a.csv", b"text,label\ngr\xfcn,x\nb,y\nc,x\n")],
        |s| s.append("--drop-malformed")),
    ("[D012]", "check a.csv", &[("a.csv", b"text,label\ngr\xc3\xbcn,x\ngr\xfcn,y\nna\xc3\xafve,x\n")],
        |s| s.edit("rewrite only it as UTF-8", "a.csv", "gr\u{fffd}n", "gr\u{fc}n bunt")),
    ("[D012]", "check a.csv", &[("a.csv", b"text,label\n\xf0\xf2\xec,x\nb,y\n")], |s| {
        s.states("ask who wrote the file whether it is windows-1251 or windows-1253 or windows-1255");
        s.words.push("--encoding=windows-1255".to_owned());
    }),
    ("[D012]", "check a.csv --encoding shift_jis", &[("a.csv", b"text,label\ngr\xfcn,x\nb,y\n")],
        |s| { s.states("pass the right encoding with --encoding"); s.set("shift_jis", "latin-1"); }),
    ("error[D013]", "check a.csv", &[("a.csv", b"text,label\n,x\nb,y\nc,x\n")], |s| s.append("--drop-missing")),
    ("[D013]", "check a.csv", &[("a.csv", b"text,label\n,x\nb,y\n")],
        |s| s.edit("fix it", "a.csv", ",x", "a,x")),
    ("error[D014]", "check a.csv", &[("a.csv", b"text,label\na,\nb,y\nc,x\n")], |s| s.append("--drop-missing")),
    ("[D014]", "check a.csv", &[("a.csv", b"text,label\na,\\N\nb,y\n")],
        |s| s.edit("fix it", "a.csv", "\\N", "x")),
    ("error[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n[3]\n")],
        |s| s.append("--drop-malformed")),
    ("[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2} 3\n")],
        |s| s.edit("write one JSON object per line", "a.jsonl", " 3", "")),
    ("[D061]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2} {\"text\":\"c\",\"label\":2}\n")],
        |s| s.edit("jq -c . FILE > FILE.jsonl", "a.jsonl", "} {", "}\n{")),
    ("[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1},\n{\"text\":\"b\",\"label\":2},\r\n")],
        |s| s.shell("a.jsonl")),
    ("[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1,}\n{\"text\":\"b\",\"label\":2}\n")],
        |s| s.edit("remove the comma after the last value", "a.jsonl", "1,}", "1}")),
    ("[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1,\"text\":\"c\"}\n{\"text\":\"b\",\"label\":2}\n")],
        |s| s.edit("keep one of the two values in it", "a.jsonl", ",\"text\":\"c\"", "")),
    ("[D015]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a \\ud83d b\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n")],
        |s| s.edit("remove the half of a surrogate pair", "a.jsonl", "\\ud83d ", "")),
    ("error[D016]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n{\"text\":5,\"label\":1}\n")],
        |s| s.append("--drop-malformed")),
    ("[D016]", "check a.jsonl", &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":5,\"label\":2}\n")],
        |s| s.edit("fix it", "a.jsonl", "5", "\"5\"")),
    ("[D016]", "check a.jsonl", &[("a.jsonl", b"{\"text\":1,\"t\":\"a\",\"label\":1}\n{\"text\":2,\"t\":\"b\",\"label\":2}\n")],
        |s| { s.states("or pass another column"); s.words.push("--text-column=t".to_owned()); }),
    ("[D016]", "check a.jsonl --text-column data.text", &[("a.jsonl", b"{\"data\":{\"text\":\"a\"},\"label\":1}\n{\"data\":[\"b\"],\"label\":2}\n")],
        |s| s.edit("fix it", "a.jsonl", "[\"b\"]", "{\"text\":\"b\"}")),
    ("[D019]", "check a.csv", &[("a.csv", b"text,label\n\"a \"b\" c\",x\nd,y\n")],
        |s| s.edit("must be doubled", "a.csv", "\"b\"", "\"\"b\"\"")),
    ("[D019]", "check a.csv", &[("a.csv", b"text,label\n\"a\" ,x\n\"b\" ,\"y\" \r\n")], |s| s.shell("a.csv")),
    ("[D019]", "check a.csv", &[("a.csv", b"text,label\n\"a \\\"b\\\"\",x\nd,y\n")],
        |s| s.append("--escape '\\'")),
    ("error[D031]", "check a.tsv", &[("a.tsv", b"text\tlabel\n\"a\tx\nb\ty\nc\"\tx\nd\ty\n")],
        |s| s.append("--quoting none")),
    ("error[D031]", "check a.tsv", &[("a.tsv", b"text\tlabel\n\"a\tx\nb\ty\nc\"\tx\nd\ty\n")],
        |s| s.append("--quoting minimal")),
    ("[D032]", "check a.csv", &[("a.csv", b"text,label\na,x\ntext,label\nb,y\n")],
        |s| s.edit("remove it", "a.csv", "x\ntext,label\n", "x\n")),
    ("[D033]", "check a.csv", &[("a.csv", b"text,label\na,x\n\xef\xbb\xbfb,y\n")],
        |s| s.edit("remove it", "a.csv", "\u{feff}", "")),
    ("[D039]", "check a.csv", &[("a.csv", b"text,label\na, \"x\"\n  \"b\",\"y\"\n")], |s| s.shell("a.csv")),
    ("[D039]", "check a.csv", &[("a.csv", b"text,label\na, \"x\"\nb, \"y\"\n")], |s| s.append("--quoting none")),
    ("[D041]", "check a.csv --encoding latin-1", &[("a.csv", b"text,label\ngr\xc3\xbcn,x\nb,y\n")],
        |s| s.leave_out("--encoding", 1)),
    ("[D042]", "predict --model-dir model --input a.csv", &[("a.csv", b"text\na\n\nb\n")],
        |s| s.edit("write \"\" for a row without text", "a.csv", "a\n\n", "a\n\"\"\n")),
];

/// Codes of the data as a whole.
#[rustfmt::skip]
const DATA: &[Case] = &[
    ("[D020]", "check a.csv", &[("a.csv", b"text,label,stars\na,x,1\nb,x,2\n")],
        |s| s.edit("add rows with other labels", "a.csv", "b,x", "b,y")),
    ("[D020]", "check a.csv", &[("a.csv", b"text,label,stars\na,x,1\nb,x,2\n")],
        |s| { s.states("pass another column with --label-column"); s.words.push("--label-column=stars".to_owned()); }),
    ("[D021]", "check a.csv", &[("a.csv", b"text,label\na,x\na,y\nb,y\n")],
        |s| s.edit("decide which label is right", "a.csv", "a,y\n", "")),
    ("[D022]", "check a.csv", &[("a.csv", b"text,label\na,x\na,x\nb,y\n")],
        |s| s.edit("remove it", "a.csv", "a,x\n", "")),
    ("[D023]", "check a.csv --test b.csv", &[("a.csv", GOOD), ("b.csv", b"text,label\na,x\nc,y\n")],
        |s| s.edit("remove it from one of the two", "b.csv", "a,x\n", "")),
    ("[D024]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,X\nc,y\n")],
        |s| s.edit("use one spelling", "a.csv", "X", "x")),
    ("[D024]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,x\x01\nc,y\n")],
        |s| s.edit("use one spelling", "a.csv", "x\x01", "x")),
    ("[D036]", "check a.csv", &[("a.csv", b"text,label\na,x\nb,nan\nc,y\n")], |s| {
        s.edit("leave the field empty", "a.csv", "nan", "");
        s.append("--drop-missing");
    }),
    ("[D037]", "check a.csv --text-column label --label-column text", &[("a.csv", SWAPPED)], |s| {
        s.states("pass --text-column text --label-column label");
        s.words = "check a.csv --text-column text --label-column label".split(' ').map(str::to_owned).collect();
    }),
    ("[D037]", "check a.csv --no-header --label-column 0 --text-column 1", &[("a.csv", PIPES)],
        |s| { s.states("check the delimiter, and pass --delimiter"); s.words.push("--delimiter=|".to_owned()); }),
    ("[D038]", "check a.csv --test b.csv", &[("a.csv", GOOD), ("b.csv", b"text,label\nA!,x\nc,y\n")],
        |s| s.edit("remove it from one of the two", "b.csv", "A!,x\n", "")),
    ("[D038]", "check a.csv --test b.csv", &[("a.csv", NEAR), ("b.csv", b"text,label\nA b c d e f g h i j k l m n o p q r s t u v w x y other,x\nc,y\n")],
        |s| s.edit("remove it from one of the two", "b.csv", "A b c d e f g h i j k l m n o p q r s t u v w x y other,x\n", "")),
    ("[D048]", "check a.csv", &[("a.csv", SINGLE)],
        |s| s.edit("add rows with it", "a.csv", "u,odd\n", "u,odd\nv,odd\n")),
    ("[D050]", "check a.csv --weight-column weight --test words.csv", &[("a.csv", WEIGHTED)],
        |s| s.edit("fix it", "a.csv", ",-1\n", ",1\n")),
    ("[D050]", "train --train a.csv --model-dir new --min-df 1 --weight-column weight", &[("a.csv", WEIGHTED)],
        |s| s.edit("fix it", "a.csv", ",-1\n", ",1\n")),
    ("[D051]", "check a.csv", &[("a.csv", b"text,label\na,['x']\nb,['y']\nc,\"['x', 'y']\"\n")], |s| s.append("--multi-label")),
    ("[D051]", "check a.csv --multi-label", &[("a.csv", b"text,label\na,x\nb,y\nc,x;y\n")],
        |s| s.append("--label-separator ';'")),
    ("[D051]", "check a.csv --multi-label", &[("a.csv", b"text,label\na,x\nb,y\nc,\"('x', 'y')\"\n")],
        |s| s.edit("write lists", "a.csv", "('x', 'y')", "['x', 'y']")),
    ("with a weight above 0", "train --train a.csv --model-dir new --min-df 1 --weight-column weight",
        &[("a.csv", b"text,label,weight\ngood film,pos,2\nbad film,neg,0\nfine plot,pos,1\npoor plot,neg,0\n")],
        |s| s.rewrite("raise the weights of the rows with the label `neg`", "a.csv",
            b"text,label,weight\ngood film,pos,2\nbad film,neg,1\nfine plot,pos,1\npoor plot,neg,2\n")),
    ("found --kernel `rbf`", "train --train a.csv --model-dir new --min-df 1 --weight-column weight --kernel rbf",
        &[("a.csv", b"text,label,weight\ngood film,x,1\nbad film,y,1\nfine plot,x,2\npoor plot,y,3\n")],
        |s| s.replace("rbf", "linear")),
    ("[D049]", "check a.csv", &[("a.csv", NEAR)],
        |s| s.edit("remove it", "a.csv", "A b c d e f g h i j k l m n o p q r s t u v w x y,x\n", "")),
    ("[D040]", "check a.csv --test b.csv", &[("a.csv", GOOD), ("b.csv", b"text,label\nc,x\nd,odd\n")],
        |s| s.edit("or remove them from the test data", "b.csv", "d,odd\n", "")),
];

const NEAR: &[u8] = b"text,label\na b c d e f g h i j k l m n o p q r s t u v w x y z,x\nb,y\n\
    A b c d e f g h i j k l m n o p q r s t u v w x y,x\n";

/// Rows with one comma each, whose delimiter is `|`.
const PIPES: &[u8] = b"0|a, 1\n1|b, 1\n0|c, 1\n1|d, 1\n0|e, 1\n1|f, 1\n0|g, 1\n1|h, 1\n0|i, 1\n\
    1|j, 1\n0|k, 1\n1|l, 1\n0|m, 1\n1|n, 1\n0|o, 1\n1|p, 1\n0|q, 1\n1|r, 1\n0|s, 1\n1|t, 1\n\
    0|u, 1\n1|v, 1\n";

const SINGLE: &[u8] = b"text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\ng,x\nh,y\ni,x\nj,y\nk,x\nl,y\n\
    m,x\nn,y\no,x\np,y\nq,x\nr,y\ns,x\nt,y\nu,odd\n";

const SWAPPED: &[u8] = b"text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\ng,x\nh,y\ni,x\nj,y\nk,x\nl,y\n\
    m,x\nn,y\no,x\np,y\nq,x\nr,y\ns,x\nt,y\nu,x\nv,y\n";

/// Command lines that the parser or the harness refuses, and options without effect.
#[rustfmt::skip]
const COMMANDS: &[Case] = &[
    ("unexpected argument `--min-fd`", "train --train words.csv --model-dir new --min-fd 1", &[],
        |s| s.replace("--min-fd", "--min-df")),
    ("unexpected argument `true`", "TRAIN --no-refit true", &[],
        |s| { s.states("leave out `true`"); s.remove("true", 0); }),
    ("unexpected argument `false`", "TRAIN --tune false", &[],
        |s| { s.states("leave out `false` and the flag before it"); s.remove("--tune", 1); }),
    ("expected a whole number from 0", "check words.csv --limit -1", &[], |s| s.leave_out("--limit", 1)),
    ("expected a whole number from 1", "explain --model-dir model --top 0", &[], |s| s.leave_out("--top", 1)),
    ("standard input is not read here", "train --train - --model-dir new --min-df 1", &[],
        |s| { s.states("write standard input to a file"); s.set("-", "words.csv"); }),
    ("unexpected argument `--sep`", "check a.csv --sep ;", &[("a.csv", b"text;label\na;x\nb;y\n")],
        |s| s.replace("--sep", "--delimiter")),
    ("found `text` twice", "TRAIN --text-column text --text-column text", &[],
        |s| { s.states("give each column once"); s.remove("--text-column", 1); }),
    ("expected different characters", "check words.csv --escape ,", &[],
        |s| { s.states("pass another --escape"); s.set(",", "\\"); }),
    ("unexpected argument `--header`", "check words.csv --header 0", &[],
        |s| { s.states("leave it out: the first line"); s.remove("--header", 1); }),
    ("unexpected argument `--shrinking`", "TRAIN --shrinking", &[],
        |s| { s.states("leave it out"); s.remove("--shrinking", 0); }),
    ("invalid value `hinges`", "TRAIN --loss hinges", &[], |s| s.replace("hinges", "hinge")),
    ("invalid value `perhaps`", "check words.csv --quoting perhaps", &[], |s| s.leave_out("--quoting", 1)),
    ("invalid value `ab`", "check words.csv --delimiter ab", &[], |s| s.leave_out("--delimiter", 1)),
    ("a value is required", "TRAIN --tol", &[], |s| s.leave_out("--tol", 0)),
    ("unexpected argument `words.csv`", "train words.csv --model-dir new --min-df 1", &[], |s| {
        s.states("pass data as `--train words.csv`");
        s.set("words.csv", "--train=words.csv");
    }),
    ("unexpected argument `more`", "check words.csv more", &[], |s| s.leave_out("more", 0)),
    ("unexpected argument `--frobnicate`", "check words.csv --frobnicate", &[],
        |s| { s.states("leave it out"); s.remove("--frobnicate", 0); }),
    ("invalid value `maybe`", "check words.csv --drop-missing=maybe", &[],
        |s| { s.states("use true or false"); s.set("--drop-missing=maybe", "--drop-missing=true"); }),
    ("expected a whole number from 1 to 8", "TRAIN --max-ngrams 9", &[], |s| s.leave_out("--max-ngrams", 1)),
    ("cannot be used multiple times", "TRAIN --min-df 2", &[], |s| s.leave_out("--min-df", 1)),
    ("cannot be used multiple times", "check words.csv --drop-missing --drop-missing", &[],
        |s| s.leave_out("--drop-missing", 0)),
    ("arguments were not provided", "check", &[],
        |s| { s.states("add what is missing"); s.words.push("words.csv".to_owned()); }),
    ("arguments were not provided", "TRAIN --tune-trials 1", &[],
        |s| { s.states("add what is missing"); s.words.push("--tune".to_owned()); }),
    ("cannot be used with", "predict good --model-dir model --input words.csv", &[],
        |s| { s.states("leave out one of them"); s.remove("--input", 1); }),
    ("cannot be used with", "TRAIN --c 1 --alpha 1", &[],
        |s| { s.states("leave out one of them"); s.remove("--alpha", 1); }),
    ("found neither --train nor", "train --model-dir new --min-df 1", &[],
        |s| { s.states("pass --train FILE"); s.words.push("--train=words.csv".to_owned()); }),
    ("found no --model-dir", "train --train words.csv --min-df 1", &[],
        |s| { s.states("pass --model-dir models/NAME"); s.words.push("--model-dir=models/svm".to_owned()); }),
    ("does not belong to a model", "TRAIN", &[("new/config.json", b"{}")],
        |s| { s.states("choose another --model-dir"); s.set("new", "other"); }),
    ("does not belong to a model", "TRAIN", &[("new/config.json", b"{}")], |s| {
        s.states("or move the file away");
        std::fs::rename(s.path("new/config.json"), s.path("config.json")).unwrap();
    }),
    ("does not belong to a model", "TRAIN", &[("new/model.safetensors", b"mine")],
        |s| { s.states("choose another --model-dir"); s.set("new", "other"); }),
    ("do not belong to a model", "TRAIN", &[("new/vocabulary.txt", b"a"), ("new/report.html", b"b")], |s| {
        s.states("or move the files away");
        std::fs::rename(s.path("new"), s.path("mine")).unwrap();
    }),
    ("does not belong to a model", "TRAIN --output-data-dir out", &[("out/metrics.json", b"{}")],
        |s| { s.states("choose another --output-data-dir"); s.set("out", "other"); }),
    ("expected a model in `models`", "predict good --model-dir models", &[],
        |s| { s.states("pass --model-dir the folder that `svm train` wrote"); s.set("models", "model"); }),
    ("expected a label of the model", "evaluate a.csv --model-dir model", &[("a.csv", b"text,label,kind\na,1,pos\n")],
        |s| { s.states("check --label-column"); s.words.push("--label-column=kind".to_owned()); }),
    ("expected a label of the model", "evaluate a.csv --model-dir model", &[("a.csv", b"text,label\na,Pos\n")],
        |s| s.edit("write `Pos` as `pos`", "a.csv", "Pos", "pos")),
    ("not scored: 1 row", "evaluate a.csv --model-dir model", &[("a.csv", b"text,label\na,Pos\nb,neg\n")],
        |s| s.edit("write `Pos` as `pos`", "a.csv", "Pos", "pos")),
    ("found the record `x`", "evaluate words.csv --model-dir model --against a.csv", &[("a.csv", b"record,label\nx,pos\n")], |s| {
        s.states("run `predict --model-dir OTHER --input DATA --output FILE`");
        let predict = "predict --model-dir model --input words.csv --output a.csv";
        s.svm(predict.split(' ')).expect_code(0);
    }),
    ("expected only labels of the training data", "TRAIN --test a.csv", &[("a.csv", b"text,label\na,Pos\n")],
        |s| s.edit("write `Pos` as `pos`", "a.csv", "Pos", "pos")),
    ("expected only labels of the training data", "TRAIN --test a.csv", &[("a.csv", b"text,label\na,pos\nb,odd\n")],
        |s| s.edit("or remove them from the test data", "a.csv", "b,odd\n", "")),
    ("classes without rows", "evaluate a.csv --model-dir model", &[("a.csv", b"text,label\na,pos\n")],
        |s| s.edit("add rows of every class", "a.csv", "a,pos\n", "a,pos\nb,neg\n")),
    ("classes without test rows", "TRAIN --test a.csv", &[("a.csv", b"text,label\na,pos\n")],
        |s| s.edit("add test rows of every class", "a.csv", "a,pos\n", "a,pos\nb,neg\n")),
    ("for the output", "predict --model-dir model --input words.csv --output model/config.json", &[],
        |s| { s.states("choose another --output"); s.set("model/config.json", "out.csv"); }),
    ("for the output", "predict --model-dir model --input words.csv --output words.csv", &[],
        |s| { s.states("choose another --output"); s.remove("words.csv", 0); s.words.push("out.csv".to_owned()); }),
    ("expected an --output that ends in .csv or .jsonl", "predict --model-dir model --input words.csv --output out.csv.gz", &[],
        |s| { s.states("end the name in .csv or .jsonl"); s.set("out.csv.gz", "out.csv"); }),
    ("expected an --output that ends in .csv", "predict --model-dir model --input words.csv --output out.jsonl --format csv", &[],
        |s| s.leave_out("--format", 1)),
    ("cannot write `no/out.csv`", "predict --model-dir model --input words.csv --output no/out.csv", &[],
        |s| { s.states("create its folder"); std::fs::create_dir(s.path("no")).unwrap(); }),
    ("Is a directory", "predict --model-dir model --input words.csv --output model", &[],
        |s| { s.states("choose another path"); s.remove("model", 0); s.words.push("out.csv".to_owned()); }),
    ("not a directory", "train --train words.csv --min-df 1 --model-dir words.csv/new", &[],
        |s| { s.states("choose another path"); s.set("words.csv/new", "new"); }),
    ("expected the name of a file", "evaluate words.csv --model-dir model --report .", &[],
        |s| { s.states("pass --report FILE"); s.set(".", "report.html"); }),
    ("with standard input only", "check words.csv --input-format csv", &[], |s| s.leave_out("--input-format", 1)),
    ("is a file, but its name", "predict words.csv --model-dir model", &[], |s| {
        s.append("--input words.csv");
        s.words.remove(1);
    }),
    ("enough different texts", "train --train a.csv --model-dir new --min-df 1",
        &[("a.csv", b"text,label\ngood film,x\ngood film,x\nfine film,x\nfine film,x\nbad plot,y\nbad plot,y\ndull end,y\ndull end,y\n")],
        |s| s.append("--validation-split 0.26")),
    ("enough different texts", "train --train a.csv --model-dir new --min-df 1",
        &[("a.csv", b"text,label\ngood film,x\ngood film,x\nbad plot,y\nbad plot,y\n"), ("b.csv", GOOD)],
        |s| { s.states("pass --validation FILE"); s.words.push("--validation=b.csv".to_owned()); }),
    ("--no-refit has no effect", "TRAIN --no-refit --validation-split 0", &[], |s| s.leave_out("--no-refit", 0)),
    ("--validation-split has no effect", "TRAIN --validation-split 0.2 --validation a.csv",
        &[("a.csv", b"text,label\na,pos\nb,neg\n")], |s| s.leave_out("--validation-split", 1)),
    ("--all-classes has no effect", "predict good --model-dir model --all-classes", &[],
        |s| s.leave_out("--all-classes", 0)),
    ("no effect on files of this format", "check a.txt --escape ^", &[("a.txt", b"__label__x a\n__label__y b\n")],
        |s| s.leave_out("--escape", 1)),
    ("no effect on files of this format", "check a.jsonl --delimiter ; --quoting none",
        &[("a.jsonl", b"{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":2}\n")],
        |s| { s.leave_out("--delimiter", 1); s.leave_out("--quoting", 1); }),
];

/// Options of this trainer.
#[rustfmt::skip]
const SVM: &[Case] = &[
    ("expected --max-df above 0", "TRAIN --max-df 0", &[], |s| s.leave_out("--max-df", 1)),
    ("--min-df of at most --max-df", "train --train words.csv --model-dir new --min-df 5 --max-df 3", &[],
        |s| { s.states("lower --min-df"); s.set("5", "1"); }),
    ("expected --tune without --c", "TRAIN --tune --c 1", &[], |s| s.leave_out("--c", 1)),
    ("expected --tune without --c", "TRAIN --tune --c 1", &[], |s| s.leave_out("--tune", 0)),
    ("expected --c or --search c", "TRAIN --tune --search c=1,2 --c 1", &[],
        |s| { s.states("leave out one of them"); s.remove("--c", 1); }),
    ("expected one --search of `c`", "TRAIN --tune --search c=1 --search c=2", &[],
        |s| { s.states("--search c=VALUE,VALUE"); s.remove("--search", 1); s.set("c=1", "c=1,2"); }),
    ("expected at most `1` candidates", "TRAIN --tune --tune-trials 1 --search c=1,2", &[], |s| {
        s.states("pass --tune-trials 2");
        s.remove("1", 0);
        s.words.insert(10, "2".to_owned());
    }),
    ("expected the weighting tfidf", "TRAIN --tune --sublinear-tf --search weighting=nbsvm", &[], |s| {
        s.states("leave out sublinear-tf");
        s.remove("--sublinear-tf", 0);
    }),
    ("with --sublinear-tf", "TRAIN --sublinear-tf --weighting nbsvm", &[], |s| s.leave_out("--sublinear-tf", 0)),
    ("with --folds", "TRAIN --folds 2", &[], |s| s.leave_out("--folds", 1)),
    ("with --folds", "TRAIN --folds 2", &[], |s| s.append("--tune")),
    ("with --folds", "TRAIN --folds 2", &[], |s| s.append("--calibration cv")),
    ("with --gamma", "TRAIN --gamma 1", &[], |s| s.leave_out("--gamma", 1)),
    ("with --max-iter", "TRAIN --kernel rbf --max-iter 9", &[], |s| s.leave_out("--max-iter", 1)),
    ("with --max-iter", "TRAIN --kernel rbf --max-iter 9", &[], |s| s.replace("rbf", "linear")),
    ("invalid value `balancd`", "TRAIN --class-weight balancd", &[], |s| s.leave_out("--class-weight", 1)),
    ("expected labels of the training data", "TRAIN --class-weight a.json", &[("a.json", b"{\"Pos\": 2, \"neg\": 1}")],
        |s| s.edit("write `Pos` as `pos`", "a.json", "Pos", "pos")),
    ("are not in `a.json` and weigh 1", "TRAIN --class-weight a.json", &[("a.json", b"{\"pos\": 2}")],
        |s| s.edit("add them to the file", "a.json", "{", "{\"neg\": 1, ")),
    ("cannot use the class weights", "TRAIN --class-weight a.csv", &[("a.csv", b"pos,2\nneg,1\n")],
        |s| s.rewrite("CSV with the first line `label,weight`", "a.csv", b"label,weight\npos,2\nneg,1\n")),
    ("cannot read the stop words", "TRAIN --stopwords nowhere.txt", &[], |s| s.replace("nowhere.txt", "english")),
    ("expected --alpha", "TRAIN --alpha 1e-40", &[], |s| s.leave_out("--alpha", 1)),
    ("expected terms in at least", "train --train words.csv --model-dir new --min-df 9", &[],
        |s| { s.states("lower --min-df"); s.set("9", "1"); }),
    ("expected words in the training rows", "train --train a.csv --model-dir new --min-df 1 --stopwords english",
        &[("a.csv", b"text,label\nthe,x\nof the,y\nthe and,x\n")], |s| s.replace("english", "none")),
    ("expected words in the training rows", "train --train a.csv --model-dir new --min-df 1", &[("a.csv", b"text,label\na,x\nb c,y\nd,x\n")],
        |s| s.append("--min-word-length 1")),
    ("expected words in the training rows", "train --train a.csv --model-dir new --min-df 1", &[("a.csv", b"text,label,body\n:),x,good\n:(,y,bad\n")],
        |s| { s.states("check --text-column"); s.words.push("--text-column=body".to_owned()); }),
];

#[test]
fn help_about_command_lines_obeyed_removes_the_error() {
    obeyed(COMMANDS);
    obeyed(SVM);
}

/// A vocabulary whose terms are in the rows of the validation split only.
#[test]
fn help_about_kernels_without_terms_works() {
    let row = |row: u32| format!("u{row}q v{row}q,{}\n", if row < 9 { "a" } else { "b" });
    let rows: String = (0..18).map(row).collect();
    let csv = format!("text,label\n{rows}same same,a\nsame same,a\n");
    let command = "train --train a.csv --model-dir new --no-report --kernel rbf --seed 2 \
                   --validation-split 0.3";
    let ways: [fn(&mut Situation); 2] =
        [|s| s.append("--min-df 1"), |s| s.replace("rbf", "linear")];
    for obey in ways {
        let finding = "expected terms in the rows that the kernel is trained on";
        let mut situation = Situation::new(command, &[("a.csv", csv.as_bytes())]);
        situation.help = situation.run(finding).1.unwrap();
        obey(&mut situation);
        let (outcome, help) = situation.run(finding);
        assert_eq!((outcome.code(), help), (Some(0), None));
    }
}

#[test]
fn help_about_models_works() {
    let mut situation = Situation::new("predict good --model-dir model", &[]);
    situation.write("model/vocabulary.txt", b"good\n");
    situation.help = situation.run("do not belong to one model").1.unwrap();
    situation.states("or train again");
    situation.train_model();
    assert_eq!(
        situation.run("do not belong to one model").0.code(),
        Some(0)
    );

    let kernel = TRAIN.replace("dir new", "dir model") + " --kernel rbf";
    let mut situation = Situation::new("explain --model-dir model", &[]);
    situation.svm(kernel.split(' ')).expect_code(0);
    situation.help = situation.run("expected a linear model").1.unwrap();
    situation.states("train with --kernel linear");
    situation
        .svm(kernel.replace("rbf", "linear").split(' '))
        .expect_code(0);
    assert_eq!(situation.run("expected a linear model").0.code(), Some(0));
}

/// Hyperparameters of a job, and the ones that the help leads to.
#[test]
fn help_about_hyperparameters_obeyed_removes_the_error() {
    for (given, help, fixed) in [
        (
            &[("min_fd", "1")][..],
            "did you mean `min_df`?",
            &[("min_df", "1")][..],
        ),
        (
            &[("sep", ";")],
            "did you mean `delimiter`?",
            &[("delimiter", ";")],
        ),
        (&[("header", "0")], "remove it: the first line", &[]),
        (
            &[("use_idf", "true")],
            "remove it: this trainer has no such setting",
            &[],
        ),
        (&[("colour", "1")], "remove it", &[]),
        (&[("model_dir", "x")], "remove it", &[]),
        (&[("output_dir", "x")], "remove it: SageMaker sets", &[]),
        (
            &[("max_ngram", "1"), ("max_ngrams", "2")],
            "keep one",
            &[("max_ngrams", "2")],
        ),
        (
            &[("min_df", "[1, 2]")],
            "write one value",
            &[("min_df", "1")],
        ),
        (&[("folds", "2")], "leave out --folds", &[]),
        (
            &[("folds", "2")],
            "add --tune",
            &[("folds", "2"), ("tune", "true")],
        ),
    ] {
        let check = |values: &[(&str, &str)]| {
            let set = |ml: FakeMl, (name, value): &(&str, &str)| ml.hyperparameter(name, value);
            let ml = values.iter().fold(FakeMl::new(), set);
            run(ml.train(BIN.as_ref(), &["--check"]))
        };
        let outcome = check(given);
        let output = outcome.output();
        assert!(
            outcome.code() == Some(1) && output.contains(help),
            "{given:?}: {output}"
        );
        check(fixed).expect_code(0);
    }
}

#[test]
fn help_about_data_obeyed_removes_the_finding() {
    for cases in [FILES, FORMATS, ROWS, DATA] {
        obeyed(cases);
    }
}

/// Every code has a case here, except where a case takes gigabytes.
#[test]
fn every_code_has_a_case() {
    let cases = || [FILES, FORMATS, ROWS, DATA].into_iter().flatten();
    let parquet = if cfg!(feature = "parquet") {
        ""
    } else {
        "D009"
    };
    // D017 is in the next test; D018 needs four billion rows.
    let elsewhere = ["D017", "D018", parquet];
    for code in codes::ALL
        .iter()
        .filter(|code| !elsewhere.contains(&code.id))
    {
        let found = cases().any(|(finding, ..)| finding.contains(code.id));
        assert!(found, "no case of {}", code.id);
    }
}

/// A quote that is never closed in 65 MiB; a JSON object of that size.
#[test]
fn help_about_records_that_are_too_large_works() {
    let long = "a".repeat(1 << 20);
    let rows: String = (0..65)
        .map(|row| format!("{long}{row},{}\n", row % 2))
        .collect();
    let csv = format!("text,label\n\"b,0\n{rows}");
    let mut situation = Situation::new("check a.csv", &[("a.csv", csv.as_bytes())]);
    situation.help = situation.run("[D017]").1.unwrap();
    situation.append("--quoting none");
    let (outcome, help) = situation.run("[D017]");
    assert_eq!((outcome.code(), help), (Some(0), None));

    let large = format!("{{\"text\":\"{}\",\"label\":0}}\n", long.repeat(65));
    let lines = "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":1}\n";
    let bytes = format!("{lines}{large}");
    let mut situation = Situation::new("check a.jsonl", &[("a.jsonl", bytes.as_bytes())]);
    situation.help = situation.run("[D017]").1.unwrap();
    situation.rewrite("remove the record", "a.jsonl", lines.as_bytes());
    let (outcome, help) = situation.run("[D017]");
    assert_eq!((outcome.code(), help), (Some(0), None));
}
