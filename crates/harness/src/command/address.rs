//! Refuses addresses, such as `s3://bucket/model`, as values of options that name local files: they
//! would be folders with the name `s3:`.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use dataset::split_scheme;
use diagnostics::{Error, quoted_for_shell, sanitize};

/// Names of values that are paths. Those of data, `PATH`, are refused by `dataset`.
const PATHS: [&str; 6] = ["DIR", "FILE", "FOLDER|ID", "LIST", "OTHER", "WEIGHTS"];
/// Options whose files and folders are written.
const OUTPUTS: [&str; 5] = [
    "checkpoint_dir",
    "metrics",
    "output",
    "output_data_dir",
    "report",
];

/// Refuses addresses as values of the options of a command that name files or folders.
///
/// # Errors
/// A value is an address; the help has the command that uploads or fetches it.
pub(super) fn refuse(command: &Command, matches: &ArgMatches) -> Result<(), Error> {
    for argument in command.get_arguments() {
        let Some(option) = Named::of(command, argument) else {
            continue;
        };
        let id = argument.get_id().as_str();
        let values = matches.try_get_raw(id).ok().flatten();
        let mut values = values.into_iter().flatten().filter_map(|of| of.to_str());
        values.try_for_each(|value| option.check(value))?;
    }
    Ok(())
}

/// An option whose value is a path.
pub(super) struct Named<'a> {
    /// Name of the option, without hyphens before it.
    pub(super) option: &'a str,
    /// Name of its value.
    pub(super) value: &'a str,
    /// True if the path is written.
    pub(super) is_output: bool,
}

impl<'a> Named<'a> {
    fn of(command: &Command, argument: &'a Arg) -> Option<Self> {
        let value = argument.get_value_names()?.first()?.as_str();
        let id = argument.get_id().as_str();
        let is_model = id == "model_dir" && command.get_name() == "train";
        PATHS.contains(&value).then_some(Self {
            option: argument.get_long()?,
            value,
            is_output: is_model || OUTPUTS.contains(&id),
        })
    }

    /// Refuses an address.
    ///
    /// # Errors
    /// The value is an address, and no existing path of an input.
    pub(super) fn check(&self, value: &str) -> Result<(), Error> {
        let Some((scheme, rest)) = split_scheme(value) else {
            return Ok(());
        };
        if !self.is_output && Path::new(value).exists() {
            return Ok(());
        }
        let kind = if self.value == "FILE" { "file" } else { "path" };
        let message = format!(
            "expected a local {kind} for --{}, found the address `{}`",
            self.option,
            sanitize(value)
        );
        let help = self.help(&scheme, rest.trim_matches('/'));
        Err(Error::usage(message).help(help))
    }

    /// Names the local path, and the command that uploads or fetches it.
    fn help(&self, scheme: &str, rest: &str) -> String {
        let option = self.option;
        let name = rest.rsplit('/').next().filter(|name| !name.is_empty());
        let name = name.unwrap_or("model");
        let of_hub = match scheme {
            "hf" => Some(rest),
            "http" | "https" => rest.strip_prefix("huggingface.co/"),
            _ => None,
        };
        if let ("FOLDER|ID", Some(rest)) = (self.value, of_hub) {
            let id: Vec<&str> = rest.splitn(3, '/').take(2).collect();
            let id = quoted_for_shell(&id.join("/"));
            return format!("pass the id of the model: --{option} {id}");
        }
        if scheme == "file" {
            return format!("pass --{option} {}", quoted_for_shell(&format!("/{rest}")));
        }
        let local = quoted_for_shell(name);
        match (self.command(scheme, rest, &local), self.is_output) {
            (Some(upload), true) => format!("pass --{option} {local}, then upload it: {upload}"),
            (Some(fetch), false) => format!("fetch it, and pass --{option} {local}: {fetch}"),
            (None, true) => format!("pass --{option} {local}, and upload it afterwards"),
            (None, false) => format!("fetch it to `{local}`, and pass --{option} {local}"),
        }
    }

    fn command(&self, scheme: &str, rest: &str, local: &str) -> Option<String> {
        let is_folder = match self.value {
            "DIR" | "FOLDER|ID" => true,
            "OTHER" => Path::new(rest).extension().is_none(),
            _ => false,
        };
        let (program, scheme) = match scheme {
            "s3" | "s3a" | "s3n" => ("aws s3 cp", "s3"),
            "gs" => ("gcloud storage cp", "gs"),
            "http" | "https" if !self.is_output && !is_folder => {
                let address = quoted_for_shell(&format!("{scheme}://{rest}"));
                return Some(format!("curl -Lo {local} {address}"));
            }
            "hf" => return self.hub_command(rest, local),
            _ => return None,
        };
        let address = quoted_for_shell(&format!("{scheme}://{rest}"));
        let recursive = if is_folder { " --recursive" } else { "" };
        let (from, to) = match self.is_output {
            true => (local, address.as_str()),
            false => (address.as_str(), local),
        };
        Some(format!("{program}{recursive} {from} {to}"))
    }

    /// Returns the command for `hf://OWNER/NAME` or `hf://OWNER/NAME/PATH`.
    fn hub_command(&self, rest: &str, local: &str) -> Option<String> {
        let (rest, kind) = match rest.strip_prefix("datasets/") {
            Some(rest) => (rest, " --repo-type dataset"),
            None => (rest, ""),
        };
        let mut parts = rest.splitn(3, '/');
        let repository = quoted_for_shell(&format!("{}/{}", parts.next()?, parts.next()?));
        let path = parts.next().map(quoted_for_shell);
        Some(match (self.is_output, path) {
            (true, None) => format!("hf upload {repository} {local}{kind}"),
            (true, Some(path)) => format!("hf upload {repository} {local} {path}{kind}"),
            (false, None) => format!("hf download {repository}{kind} --local-dir {local}"),
            // A path keeps its folders.
            (false, Some(_)) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(option: &str, value: &str, is_output: bool, path: &str) -> String {
        let named = Named {
            option,
            value,
            is_output,
        };
        let (_, help) = named.check(path).unwrap_err().into_parts();
        help.concat()
    }

    /// Issue 17: the model was in a folder `s3:` of the container, which was lost.
    #[test]
    fn addresses_are_refused_with_the_command_that_transfers_them() {
        for (option, value, is_output, path, expected) in [
            (
                "model-dir",
                "DIR",
                true,
                "s3://b/p/m",
                "pass --model-dir m, then upload it: aws s3 cp --recursive m s3://b/p/m",
            ),
            (
                "model-dir",
                "DIR",
                false,
                "S3://b/m/",
                "fetch it, and pass --model-dir m: aws s3 cp --recursive s3://b/m m",
            ),
            // As Python's `Path` writes it.
            (
                "metrics",
                "FILE",
                true,
                "s3:/b/x.json",
                "pass --metrics x.json, then upload it: aws s3 cp x.json s3://b/x.json",
            ),
            (
                "class-weight",
                "WEIGHTS",
                false,
                "https://e.org/w.json",
                "fetch it, and pass --class-weight w.json: curl -Lo w.json https://e.org/w.json",
            ),
            (
                "model-dir",
                "DIR",
                true,
                "hf://u/m",
                "pass --model-dir m, then upload it: hf upload u/m m",
            ),
            (
                "pretrained-model",
                "FOLDER|ID",
                false,
                "https://huggingface.co/u/m/tree/main",
                "pass the id of the model: --pretrained-model u/m",
            ),
            (
                "model-dir",
                "DIR",
                true,
                "file:///tmp/m",
                "pass --model-dir /tmp/m",
            ),
            (
                "output",
                "FILE",
                true,
                "az://c/o.csv",
                "pass --output o.csv, and upload it afterwards",
            ),
        ] {
            assert_eq!(help(option, value, is_output, path), expected, "{path}");
        }
        let output = Named {
            option: "model-dir",
            value: "DIR",
            is_output: true,
        };
        for path in ["models/m", "/tmp/a:b", "./s3:/m", "C:/m", "a b:/m"] {
            assert!(output.check(path).is_ok(), "{path}");
        }
    }
}
