//! Findings about data and command lines.

/// One test per public report.
mod public_reports {
    use std::ffi::OsStr;
    use std::process::Command;

    use serde_json::Value;
    use testkit::{FakeMl, Outcome, movie_csv, run};

    use super::super::{BIN, Workspace, records};

    fn svm<S: AsRef<OsStr>>(arguments: &[S]) -> Outcome {
        let mut command = Command::new(BIN);
        command.env_clear().args(arguments);
        run(command)
    }

    /// Rows of two words each, one per label.
    fn rows(labels: &[&str]) -> String {
        let row = |(number, label): (usize, &&str)| format!("text number{number},{label}\n");
        let rows: Vec<String> = labels.iter().enumerate().map(row).collect();
        format!("text,label\n{}", rows.concat())
    }

    #[track_caller]
    fn expect(outcome: &Outcome, code: i32, parts: &[&str]) {
        outcome.expect_code(code);
        let output = format!("{}{}", outcome.stdout, outcome.stderr);
        for part in parts {
            assert!(output.contains(part), "no `{part}` in {output}");
        }
    }

    /// DATA 07: automlbenchmark#466. One label in several spellings.
    #[test]
    fn spellings_of_one_label_are_named() {
        let workspace = Workspace::new();
        let mixed = workspace.write(
            "mixed.csv",
            rows(&["0", "0.0", "1", "1.0", "True", "true", "1.5", "10", "-0"]),
        );
        expect(
            &svm(&["check".as_ref(), mixed.as_os_str()]),
            0,
            &[
                "treated as different: `0` and `0.0`\n",
                "treated as different: `1` and `1.0`\n",
                "treated as different: `True` and `true`\n",
                "treated as different: `0` and `-0`\n",
                "4  warning D024",
            ],
        );

        let integers = workspace.write("integers.csv", rows(&["0", "1"].repeat(10)));
        let floats = workspace.write("floats.csv", rows(&["0.0", "1.0"]));
        let [integers, floats] = [&integers, &floats].map(|path| path.to_str().unwrap());
        let help = "write `0.0` as `0`, which is in the training data: they differ only in case, \
                    whitespace or number format";
        let flags = ["--train", integers, "--test", floats, "--min-df", "1"];
        expect(&workspace.svm("train", &flags), 1, &[help]);
        workspace
            .svm("train", &["--train", integers, "--min-df", "1"])
            .expect_code(0);
        expect(
            &workspace.svm("evaluate", &[floats]),
            1,
            &["found `0.0`", help],
        );
    }

    /// DATA 07: `check --test` refuses the labels that `train --test` refuses.
    #[test]
    fn check_and_train_refuse_the_same_test_labels() {
        let workspace = Workspace::new();
        let train = workspace.write("train.csv", rows(&["0", "1"].repeat(10)));
        let test = workspace.write("test.csv", rows(&["0.0", "x", "1"]));
        let [train, test] = [&train, &test].map(|path| path.to_str().unwrap());
        let message = "error[D040]: expected only labels of the training data, found the label `";
        let check = svm(&["check", train, "--test", test]);
        expect(&check, 1, &[message, "write `0.0` as `0`", "2  error D040"]);
        let flags = ["--train", train, "--test", test, "--min-df", "1"];
        let outcome = workspace.svm("train", &flags);
        expect(&outcome, 1, &[message, "write `0.0` as `0`"]);
    }

    /// DATA 01, 13, 24: `predict` counts lines that are not rows, and obeys byte order marks.
    #[test]
    fn predict_counts_lines_that_are_not_rows() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let predict = |name: &str, bytes: &str, flags: &[&str]| {
            let path = workspace.write(name, bytes);
            let input = ["--input", path.to_str().unwrap()];
            workspace.svm("predict", &[&input[..], flags].concat())
        };
        let outcome = predict("rows.tsv", "text\n\"a\nb\"\n\nc\n", &[]);
        expect(&outcome, 0, &["warning[D031]", "warning[D042]"]);
        assert_eq!(records(&outcome.stdout).len(), 2);
        let outcome = predict(
            "rows.csv",
            "\u{feff}text\ncaf\u{e9}\n",
            &["--encoding", "latin-1"],
        );
        expect(&outcome, 0, &[]);
        assert_eq!(outcome.stderr, "");
        let outcome = predict("utf8.csv", "text\ncaf\u{e9}\n", &["--encoding", "latin-1"]);
        expect(&outcome, 0, &["warning[D041]", "leave out --encoding"]);
    }

    /// The last lines of DATA: `--limit` limits the findings, not their counts.
    #[test]
    fn limit_of_zero_prints_the_counts_only() {
        let workspace = Workspace::new();
        let path = workspace.write("rows.csv", rows(&["good", "nan", "bad", "NaN"]));
        let outcome = svm(&["check", path.to_str().unwrap(), "--limit", "0"]);
        expect(&outcome, 0, &["2  warning D036"]);
        assert!(!outcome.stdout.contains("warning["), "{}", outcome.stdout);
    }

    /// `check --test` counts the rows of both data sets.
    #[test]
    fn check_prints_the_rows_of_the_test_data() {
        let workspace = Workspace::new();
        let train = workspace.write("train.csv", rows(&["good", "bad", "good", "bad"]));
        let test = workspace.write("test.csv", "text,label\none more text,good\n,bad\n");
        let (train, test) = (train.to_str().unwrap(), test.to_str().unwrap());
        let outcome = svm(&["check", train, "--test", test]);
        expect(
            &outcome,
            1,
            &["4 rows, 4 usable, 2 labels\ntest: 2 rows, 1 usable\n"],
        );
    }

    /// DATA 10: simpletransformers#568. JSON lines with other keys.
    #[test]
    fn check_prints_the_missing_columns_of_json_lines() {
        let workspace = Workspace::new();
        let line = "{\"review\": \"a film\", \"labels\": 1}\n";
        let file = workspace.write("rows.jsonl", line.repeat(30));
        let path = file.to_str().unwrap();
        let text = "no column is named `text` or `label`; the first object has `review`, `labels`";
        let error = format!("error[D005]: {text}");
        expect(
            &svm(&["check", path]),
            1,
            &[&error, "--label-column labels"],
        );
        let json = svm(&["check", path, "--json"]);
        let findings: Vec<Value> = json
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let found: Vec<_> = findings
            .iter()
            .filter(|finding| finding["code"] == "D005")
            .collect();
        assert_eq!((found.len(), &found[0]["message"]), (1, &text.into()));
    }

    /// DATA 20, USER 4: scikit-learn#8570. A label per row does not replace a model.
    #[test]
    fn most_rows_with_a_label_of_their_own_are_an_error() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let before = workspace.model();
        let mut csv = "id,text,label\n".to_owned();
        for row in 0..40 {
            let word = ["good", "bad"][row % 2];
            csv.push_str(&format!("id{row},a {word} film {row},{word}\n"));
        }
        let path = workspace.write("rows.csv", &csv);
        let path = path.to_str().unwrap();
        let message =
            "error[D037]: expected several rows per label, found `40` labels in `40` rows";
        let ids = ["--train", path, "--label-column", "id"];
        expect(
            &workspace.svm("train", &ids),
            1,
            &[message, "--label-column, or add rows"],
        );
        let check = svm(&["check", path, "--label-column", "id"]);
        expect(
            &check,
            1,
            &[
                message,
                "40 rows, 40 usable, 40 labels",
                "... and 20 more labels",
            ],
        );

        let swapped = [
            "--train",
            path,
            "--text-column",
            "label",
            "--label-column",
            "text",
        ];
        let help = "pass --text-column text --label-column label";
        expect(&workspace.svm("train", &swapped), 1, &[message, help]);
        let numbers = csv.replace("id", "1.");
        workspace.write("rows.csv", numbers.replacen("1.", "id", 1));
        expect(
            &workspace.svm("train", &ids),
            1,
            &[message, "grouped into classes"],
        );
        assert_eq!(workspace.model(), before);
        // The help is right.
        let right = [
            "--train",
            path,
            "--text-column",
            "text",
            "--label-column",
            "label",
        ];
        workspace.svm("train", &right).expect_code(0);
        // Few rows, and classes of few rows, are not errors.
        let few = workspace.write("few.csv", rows(&["a", "b", "c", "d"]));
        svm(&["check".as_ref(), few.as_os_str()]).expect_code(0);
    }

    /// DATA 23: scikit-learn#8626. The help names the option that leaves no terms.
    #[test]
    fn options_that_leave_no_terms_are_named() {
        let workspace = Workspace::new();
        let train = |texts: &[&str], flags: &[&str]| {
            let row = |(row, text): (usize, &&str)| format!("{text},{}\n", row % 2);
            let rows: String = texts.repeat(10).iter().enumerate().map(row).collect();
            let path = workspace.write("rows.csv", format!("text,label\n{rows}"));
            workspace.train(&path, &[&["--no-report"], flags].concat())
        };
        let letters = ["a", "b", "c d", "d c"];
        let help = "pass --min-word-length 1 if the words have one character";
        expect(
            &train(&letters, &["--min-df", "1"]),
            1,
            &["expected words", help],
        );
        train(&letters, &["--min-df", "1", "--min-word-length", "1"]).expect_code(0);
        let stop_words = ["the", "of the", "and", "was"];
        let english = ["--min-df", "1", "--stopwords", "english"];
        expect(
            &train(&stop_words, &english),
            1,
            &["pass --stopwords none if all words"],
        );
        train(&stop_words, &["--stopwords", "none"]).expect_code(0);
        let emoji = ["\u{1f600}", "\u{1f620}!", "?", "\u{1f620}"];
        let outcome = train(&emoji, &["--min-word-length", "1"]);
        expect(
            &outcome,
            1,
            &["not emoji or punctuation; check --text-column"],
        );
        assert!(!outcome.stderr.contains("--min-df"), "{}", outcome.stderr);

        let words = ["good film", "bad film", "fine film", "poor film"];
        expect(
            &train(&words, &["--max-df", "0"]),
            2,
            &["expected --max-df above 0"],
        );
        expect(
            &train(&words, &["--max-df", "1"]),
            2,
            &["found `2` and `1`", "`1.0` is all rows"],
        );
        let flags = ["--min-df", "9", "--max-df", "0.1"];
        expect(
            &train(&words, &flags),
            1,
            &["expected --min-df of at most --max-df, found `9`"],
        );
        let outcome = train(&words, &["--min-df", "1", "--max-df", "0.1"]);
        expect(&outcome, 1, &["found none", "help: raise --max-df\n"]);
        train(&words, &["--max-df", "1.0"]).expect_code(0);
    }

    /// DATA 24, USER 31: fastText#344. One prediction per row, or the others are counted.
    #[test]
    fn predict_answers_each_row_and_counts_the_dropped() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let csv = "id,text\n1,a good film\n2,\n3,  \n4,\"a \"bad\" film\"\n";
        let path = workspace.write("test.csv", csv);
        let input = ["--input", path.to_str().unwrap()];
        let outcome = workspace.svm("predict", &input);
        let warning = "warning[D013]: row has no text";
        let help = "2 such rows; read as an empty text; pass --drop-missing to leave them out";
        expect(&outcome, 0, &[warning, help, "warning[D019]"]);
        let all = records(&outcome.stdout);
        let numbers: Vec<&str> = all.iter().map(|record| &record[0]).collect();
        assert_eq!(numbers, ["1", "2", "3", "4"]);
        // As scikit-learn's `predict([""])`, and as `predict ""`.
        let empty = workspace.svm("predict", &[""]);
        assert_eq!(
            records(&empty.stdout)[0].iter().skip(1).collect::<Vec<_>>(),
            all[1].iter().skip(1).collect::<Vec<_>>()
        );

        let dropped = workspace.svm("predict", &[&input[..], &["--drop-missing"]].concat());
        expect(
            &dropped,
            0,
            &[warning, "2 such rows; dropped because of --drop-missing"],
        );
        assert_eq!(records(&dropped.stdout).len(), 2);
        let json = workspace.predict_piped(
            &["--input-format", "jsonl"],
            b"{\"text\": null}\n{\"text\": \"a film\"}\n{}\n",
        );
        assert_eq!(records(&json).len(), 3);
    }

    /// DATA 25: cleanlab#1223. `str(nan)` as a label.
    #[test]
    fn labels_that_are_words_for_missing_values_are_counted() {
        let workspace = Workspace::new();
        let labels = ["good", "nan", "bad", "NaN", "<NA>", "none"];
        let path = workspace.write("rows.csv", rows(&labels));
        let outcome = svm(&["check".as_ref(), path.as_os_str()]);
        let message =
            "warning[D036]: the label `nan` is a word for a missing value, but is used as";
        expect(
            &outcome,
            0,
            &[message, "rows.csv:3 (record 2)", "3  warning D036"],
        );
        // The help is right.
        let path = workspace.write("rows.csv", rows(&["good", "", "bad", "", "", "none"]));
        let outcome = svm(&[
            "check".as_ref(),
            path.as_os_str(),
            "--drop-missing".as_ref(),
        ]);
        outcome.expect_code(0);
        assert!(!outcome.stdout.contains("D036"), "{}", outcome.stdout);
    }

    /// DATA 30, ATTACK F9: scikit-learn#13034. `metrics.json` stays small with many classes.
    #[test]
    fn many_classes_have_pairs_instead_of_a_matrix() {
        let workspace = Workspace::new();
        let mut csv = "text,label\n".to_owned();
        for row in 0..1200 {
            csv.push_str(&format!(
                "word{} word{},class{}\n",
                row % 300,
                row % 7,
                row % 300
            ));
        }
        let path = workspace.write("rows.csv", csv);
        let validation = ["--validation", path.to_str().unwrap()];
        let outcome = workspace.train(
            &path,
            &[&validation[..], &["--no-report", "--json"]].concat(),
        );
        outcome.expect_code(0);
        let metrics = outcome.json();
        let validation = &metrics["validation"];
        assert_eq!(validation["confusion"], serde_json::json!([]));
        assert!(validation["confused"].as_array().unwrap().len() <= 100);
        assert!(outcome.stdout.len() < 300_000, "{}", outcome.stdout.len());
        let longest = outcome.stderr.lines().map(str::len).max().unwrap();
        assert!(longest < 1000, "{}", outcome.stderr);
    }

    /// DATA 35: OpenTextShield#195. Texts that are almost equal in train and test.
    #[test]
    fn near_duplicates_of_test_texts_are_counted() {
        let workspace = Workspace::new();
        let train = "You have won 500 pounds!,1\nA good film,0\nCaf\u{e9} noir,0\n12345,1\n";
        let train = workspace.write("train.csv", format!("text,label\n{}", train.repeat(2)));
        let near = "you have won 1000  pounds,1\na good film.,0\ncaf\u{e9} noir,0\n67890,1\n";
        let test = format!("text,label\n{near}A good film,0\nAnother good film,0\n");
        let test = workspace.write("test.csv", test);
        let [train, test] = [&train, &test].map(|path| path.to_str().unwrap());
        let message = "warning[D038]: the test text differs only in case, digits, punctuation or \
                       whitespace from the training text at `";
        let outcome = svm(&["check", train, "--test", test]);
        expect(
            &outcome,
            0,
            &[message, "train.csv:2 (record 1)", "3  warning D038"],
        );
        expect(&outcome, 0, &["1  warning D023"]);
        let flags = [
            "--train",
            train,
            "--validation",
            test,
            "--test",
            test,
            "--no-report",
        ];
        let outcome = workspace.svm("train", &flags);
        expect(
            &outcome,
            0,
            &[
                "the validation text differs only",
                "the test text differs only",
            ],
        );
        // `train --validation F --test F`: each of the two is named.
        let same = [
            "the validation text is also in the",
            "the test text is also in the",
        ];
        expect(&outcome, 0, &same);
    }

    /// Issue 17: `check`, and `train` on request, compare texts; the model is the same.
    #[test]
    fn texts_are_compared_on_request() {
        let workspace = Workspace::new();
        let mut rows = testkit::movie_rows();
        rows.truncate(40);
        let near = |row: usize| testkit::Row {
            text: format!("{} indeed", rows[row].text),
            label: rows[row].label.clone(),
        };
        let test = workspace.write("test.csv", testkit::to_csv(&[near(0), near(1)]));
        let near = near(2);
        rows.push(near);
        let train = workspace.write("train.csv", testkit::to_csv(&rows));
        let flags = [
            "--no-report",
            "--min-df",
            "1",
            "--test",
            test.to_str().unwrap(),
        ];
        let outcome = workspace.train(&train, &flags);
        expect(&outcome, 0, &[]);
        assert!(!outcome.stderr.contains("sequences of 5 words"));
        let model = workspace.model();
        let outcome = workspace.train(&train, &[&flags[..], &["--near-duplicates"]].concat());
        let warnings = [
            "warning[D049]: the text shares",
            "warning[D038]: the test text shares",
        ];
        expect(&outcome, 0, &warnings);
        expect(
            &outcome,
            0,
            &["2 such rows; remove them from one of the two data sets"],
        );
        assert!(workspace.model() == model);
        let check = [
            "check",
            train.to_str().unwrap(),
            "--test",
            test.to_str().unwrap(),
        ];
        let outcome = svm(&check);
        expect(&outcome, 0, &["1  warning D049", "2  warning D038"]);
        // The launcher's check before `train`.
        let outcome = svm(&[&check[..], &["--no-near-duplicates"]].concat());
        expect(&outcome, 0, &[]);
        assert!(!outcome.stdout.contains("sequences of 5 words"));
    }

    /// Issue 17: labels that never repeat are counted by `train` too.
    #[test]
    fn labels_with_a_single_row_are_a_warning() {
        let workspace = Workspace::new();
        let train = format!(
            "{}one of its kind,odd\n",
            "a film,0\nno film,1\n".repeat(15)
        );
        let train = workspace.write("train.csv", format!("text,label\n{train}"));
        let outcome = workspace.train(&train, &["--min-df", "1", "--no-report"]);
        let warning = "warning[D048]: labels with a single row, which cannot be both trained on and \
                       tested on: `odd`";
        expect(&outcome, 0, &[warning]);
    }

    /// The last lines of DATA, USER 10, NEURAL B6: names from other programs.
    #[test]
    fn hyperparameters_of_other_programs_are_known() {
        for (name, help) in [
            ("ngram_range", "did you mean `max_ngrams`?"),
            ("batch_size", "remove it: this trainer has no such setting"),
            ("use_idf", "remove it: this trainer has no such setting"),
            ("penalty", "remove it: this trainer has no such setting"),
            ("num_train_epochs", "did you mean `max_iter`?"),
            ("output_dir", "remove it: SageMaker sets `model_dir`"),
            ("colour", "help: remove it; run `train --help`"),
            ("min_fd", "did you mean `min_df`?"),
        ] {
            let ml = FakeMl::new().hyperparameter(name, "1");
            let outcome = run(ml.train(BIN.as_ref(), &["--check"]));
            expect(&outcome, 1, &["unknown hyperparameter", help]);
        }
        let ml = FakeMl::new().hyperparameter("C", "2");
        run(ml.train(BIN.as_ref(), &["--check"])).expect_code(0);
        for (arguments, help) in [
            ("train --ngram-range 2", "did you mean `--max-ngrams`?"),
            (
                "train --loss hinge_squared",
                "did you mean `squared_hinge`?",
            ),
            (
                "predict --model-dir m --json",
                "did you mean `--format jsonl`?",
            ),
            (
                "predict --model-dir m --penalty l1",
                "leave it out: there is no such option",
            ),
            (
                "predict --model-dir m --frobnicate x",
                "help: leave it out; run with --help for all options\n",
            ),
        ] {
            let words: Vec<&str> = arguments.split(' ').collect();
            expect(&svm(&words), 2, &[help]);
        }
        let text = svm(&["predict", "--model-dir", "m", "--a good film"]);
        expect(&text, 2, &["use `-- --a good film`"]);
    }

    /// `check` with the options of `train` agrees with it.
    #[test]
    fn check_drops_what_train_drops() {
        let workspace = Workspace::new();
        let rows = "good film,1\nbad film,0\n".repeat(10);
        let path = workspace.write("rows.csv", format!("text,label\n{rows},1\nx,\na,b,c\n"));
        let path = path.to_str().unwrap();
        svm(&["check", path]).expect_code(1);
        expect(
            &svm(&["check", path, "--drop-missing"]),
            1,
            &["error[D010]", "warning[D013]"],
        );
        let drops = ["--drop-missing", "--drop-malformed"];
        let counts = [
            "23 rows, 20 usable, 2 labels",
            "1  warning D010",
            "1  warning D014",
        ];
        expect(&svm(&[&["check", path], &drops[..]].concat()), 0, &counts);
        let flags = [&["--train", path], &drops[..]].concat();
        workspace.svm("train", &flags).expect_code(0);
    }

    /// NEURAL A6: a repeated option does not win silently.
    #[test]
    fn repeated_options_are_an_error() {
        let path = movie_csv();
        let path = path.to_str().unwrap();
        let train = ["train", "--model-dir", "m", "--check", "--train", path];
        for (more, name) in [
            (
                &["--validation-split", "0.1", "--validation_split", "0.2"][..],
                "--validation-split",
            ),
            (&["--train", path], "--train"),
            (&["--data", path], "--train"),
            (&["--c", "1", "--C", "2"], "--c"),
            (&["--tune", "--tune=false"], "--tune"),
            (&["--tune=false", "--tune"], "--tune"),
        ] {
            let help = format!("help: give `{name}` once");
            expect(
                &svm(&[&train[..], more].concat()),
                2,
                &["multiple times", &help],
            );
        }
        // The command line still overrides the hyperparameters of a job.
        let ml = FakeMl::new()
            .hyperparameter("tune", "true")
            .hyperparameter("min_df", "3");
        let flags = ["--check", "--json", "--tune=false", "--min-df", "4"];
        let outcome = run(ml.train(BIN.as_ref(), &flags));
        let parameters = outcome.expect_code(0).json()["parameters"].clone();
        assert_eq!(
            (&parameters["min_df"], &parameters["tune"]),
            (&4.into(), &false.into())
        );
    }

    /// USER 5: the model of another trainer.
    #[test]
    fn model_of_another_program_is_named() {
        let workspace = Workspace::with_model(&["--no-report"]);
        for (config, program) in [
            (
                r#"{"format": "trainyard-bilstm", "version": 1, "arch": "bag"}"#,
                "bag",
            ),
            (
                r#"{"format": "trainyard-bilstm", "version": 1, "arch": "bilstm"}"#,
                "bilstm",
            ),
            (
                r#"{"model_type": "bert", "architectures": ["BertModel"]}"#,
                "transformer",
            ),
        ] {
            workspace.write("model/config.json", config);
            let message = format!("expected a model of `svm`, found one of `{program}` in `");
            let help = format!("help: use the `{program}` command for this model");
            for name in ["predict", "explain"] {
                expect(&workspace.svm(name, &["a film"]), 1, &[&message, &help]);
            }
        }
    }

    /// USER 14: one name for the data everywhere, a path, standard input.
    #[test]
    fn data_is_a_path_an_option_or_standard_input() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let path = movie_csv();
        let file = path.to_str().unwrap();
        let by_path = workspace.svm("evaluate", &[file]);
        by_path.expect_code(0);
        for flag in ["--data", "--input"] {
            assert_eq!(
                workspace.svm("evaluate", &[flag, file]).stdout,
                by_path.stdout
            );
        }
        let checked = svm(&["check", file]);
        for flag in ["--data", "--input"] {
            assert_eq!(svm(&["check", flag, file]).stdout, checked.stdout);
        }
        let predicted = workspace.svm("predict", &["--input", file]);
        assert_eq!(
            workspace.svm("predict", &["--data", file]).stdout,
            predicted.stdout
        );
        let train = ["--check", "--json", "--data", file];
        let parameters = workspace.svm("train", &train).json()["parameters"].clone();
        assert_eq!(parameters["train"], file);
        expect(
            &svm(&["check"]),
            2,
            &["<PATH>", "help: add what is missing"],
        );
        expect(
            &svm(&["check", file, "--data", file]),
            2,
            &["help: leave out one of them"],
        );

        let piped = |mut command: Command| {
            command.stdin(std::fs::File::open(&path).unwrap());
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        assert_eq!(piped(workspace.command("evaluate", &["-"])), by_path.stdout);
        let mut check = Command::new(BIN);
        check.args(["check", "-"]);
        assert_eq!(piped(check), checked.stdout);
    }

    /// USER 18: numbers and severities as people write them.
    #[test]
    fn one_row_is_singular() {
        let workspace = Workspace::new();
        let path = workspace.write("rows.csv", "text,label\na film,1\n");
        let outcome = svm(&["check".as_ref(), path.as_os_str()]);
        expect(
            &outcome,
            1,
            &["1 row, 1 usable, 1 label\n", "1  error D020\n"],
        );
    }

    /// USER 20: `explain` prints no heading without features.
    #[test]
    fn classes_without_features_are_not_listed() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let outcome = workspace.svm("explain", &["wonderful"]);
        expect(&outcome, 0, &["for 1\n"]);
        assert!(!outcome.stdout.contains("for 0\n"), "{}", outcome.stdout);
        let outcome = workspace.svm("explain", &["zzzzz"]);
        expect(&outcome, 0, &["no class has features"]);
        assert!(!outcome.stdout.contains("for "), "{}", outcome.stdout);
    }

    /// USER 21: options without effect.
    #[test]
    fn options_without_effect_are_refused() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let file = movie_csv();
        let file = file.to_str().unwrap();
        let help = workspace.svm("predict", &["--help"]).stdout;
        assert!(!help.contains("--label-column"), "{help}");
        let trials = ["--train", file, "--tune-trials", "3"];
        expect(
            &workspace.svm("train", &trials),
            2,
            &["--tune", "help: add what is missing"],
        );
        let format = ["--input", file, "--input-format", "jsonl"];
        expect(
            &workspace.svm("predict", &format),
            2,
            &["leave out --input-format"],
        );
        expect(
            &workspace.svm("evaluate", &[file, "--input-format", "csv"]),
            2,
            &["pass `-`"],
        );
        for flag in [
            &["--input-format", "csv"][..],
            &["--encoding", "latin-1"],
            &["--delimiter", ";"],
            &["--quoting", "none"],
            &["--escape", "\\"],
            &["--no-header"],
            &["--drop-missing"],
        ] {
            let flags = [flag, &["a film"]].concat();
            expect(
                &workspace.svm("predict", &flags),
                2,
                &["cannot be used with"],
            );
        }
        expect(&workspace.svm("predict", &[file]), 0, &["pass --input"]);
    }

    /// `predict --output` with one of its inputs, by any name.
    #[test]
    fn output_must_not_replace_an_input() {
        let workspace = Workspace::with_model(&["--no-report"]);
        std::fs::create_dir(workspace.path("data")).unwrap();
        let file = workspace.write("data/rows.csv", "text\na film\n");
        let link = workspace.path("link.csv");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let hard_link = workspace.path("hard.csv");
        std::fs::hard_link(&file, &hard_link).unwrap();
        let folder = workspace.path("data");
        for (input, output) in [
            (&file, &file),
            (&file, &link),
            (&hard_link, &file),
            (&folder, &file),
        ] {
            let [input, output] = [input, output].map(|path| path.to_str().unwrap());
            let outcome = workspace.svm("predict", &["--input", input, "--output", output]);
            expect(
                &outcome,
                2,
                &[
                    "expected another file than the input",
                    "choose another --output",
                ],
            );
        }
        assert_eq!(workspace.read("data/rows.csv"), b"text\na film\n");
    }

    /// `predict` prints nothing before its first row.
    #[test]
    fn header_comes_with_the_first_row() {
        let workspace = Workspace::with_model(&["--no-report"]);
        let path = workspace.write("rows.csv", "review\na film\n");
        let outcome = workspace.svm("predict", &["--input", path.to_str().unwrap()]);
        expect(&outcome, 1, &["error[D005]"]);
        assert_eq!(outcome.stdout, "");
    }
}
