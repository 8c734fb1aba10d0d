//! Options for reading the data: those of `train`.

use std::collections::HashSet;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use dataset::{MultiLabel, ReadOptions};

use diagnostics::{Error, Result};

/// Options for reading, with the names and meanings that they have in the trainers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct ReadArgs {
    /// Column with the text; the values of several are joined with blanks
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_column: Vec<String>,
    /// Column with the label; with --multi-label there may be several, with 1 and 0
    #[arg(long, value_name = "NAME", default_value = "label")]
    label_column: Vec<String>,
    /// Rows may have several labels, or none; the accuracy is that of whole sets of labels
    #[arg(long)]
    multi_label: bool,
    /// Text between the labels in a field, such as `|`; needs --multi-label
    #[arg(
        long,
        value_name = "TEXT",
        requires = "multi_label",
        value_parser = NonEmptyStringValueParser::new()
    )]
    label_separator: Option<String>,
    /// Column with the weights of training rows; scores count each row once
    #[arg(long, value_name = "NAME")]
    weight_column: Option<String>,
    /// Encoding of the files, such as latin-1 [default: utf-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Delimiter of CSV and TSV files: one character, or `tab` [default: by file name and header]
    #[arg(long, value_name = "CHAR", value_parser = dataset::parse_delimiter)]
    delimiter: Option<u8>,
    /// Quoting of CSV and TSV files [default: minimal]
    #[arg(long, value_name = "QUOTING", value_enum)]
    quoting: Option<Quoting>,
    /// Character of CSV and TSV files that makes the next one part of the text, such as `\`
    #[arg(long, value_name = "CHAR", value_parser = dataset::parse_escape)]
    escape: Option<u8>,
    /// CSV and TSV files have no header: columns are given by their numbers, from 0
    #[arg(long)]
    no_header: bool,
    /// Drop and count rows without text or label instead of failing
    #[arg(long)]
    drop_missing: bool,
    /// Drop and count rows that cannot be parsed instead of failing
    #[arg(long)]
    drop_malformed: bool,
}

/// The quoting of fields.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Quoting {
    /// A field that begins with a quote ends at the next single quote
    Minimal,
    /// Quotes are part of the text
    None,
}

impl ReadArgs {
    /// Checks the options.
    ///
    /// # Errors
    /// If two of them exclude each other, a column is there twice, or the encoding is unknown.
    pub(super) fn options(&self) -> Result<ReadOptions> {
        for (flag, columns) in [
            ("--text-column", &self.text_column),
            ("--label-column", &self.label_column),
        ] {
            if columns.iter().collect::<HashSet<_>>().len() < columns.len() {
                let message = format!("expected different {flag}, found one twice");
                return Err(Error::usage(message).help("give each column once"));
            }
        }
        if self.label_column.len() > 1 && !self.multi_label {
            let message = "expected one --label-column, found several: rows have one label";
            return Err(Error::usage(message).help("leave out all but one, or add --multi-label"));
        }
        if self.label_column.len() > 1 && self.label_separator.is_some() {
            let message = "expected --label-separator or several --label-column, found both";
            let help = "leave out --label-separator, or give one --label-column";
            return Err(Error::usage(message).help(help));
        }
        if self
            .escape
            .is_some_and(|escape| escape == self.delimiter.unwrap_or(b','))
        {
            let message = "expected different characters for --delimiter and --escape";
            return Err(Error::usage(message).help("pass another --escape, such as '\\'"));
        }
        let mut texts = self.text_column.iter().cloned();
        let mut labels = self.label_column.iter().cloned();
        Ok(ReadOptions {
            text_column: texts.next().unwrap_or_default(),
            other_text_columns: texts.collect(),
            label_column: labels.next().unwrap_or_default(),
            multi_label: self.multi_label.then(|| MultiLabel {
                separator: self.label_separator.clone(),
                other_columns: labels.collect(),
            }),
            weight_column: self.weight_column.clone(),
            encoding: self
                .encoding
                .as_deref()
                .map(dataset::encoding)
                .transpose()?,
            delimiter: self.delimiter,
            quoting: self.quoting.map(|quoting| match quoting {
                Quoting::Minimal => dataset::Quoting::Minimal,
                Quoting::None => dataset::Quoting::None,
            }),
            escape: self.escape,
            no_header: self.no_header,
            drop_missing: self.drop_missing,
            drop_malformed: self.drop_malformed,
            hash: false,
            ..ReadOptions::default()
        })
    }
}
