//! `resourceconfig.json`: hosts of the job, and the name of the current host.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ContractError, file};

const EXPECTED: &str = r#"an object such as {"current_host": "algo-1", "hosts": ["algo-1"]}"#;

/// Hosts of a training job. Without the file (on a laptop), a single host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceConfig {
    /// Name of this host.
    pub current_host: String,
    /// Names of all hosts; they resolve in the job's network.
    pub hosts: Vec<String>,
    /// Network interface between the hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_name: Option<String>,
    /// Instance type, such as `ml.m5.large`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_instance_type: Option<String>,
    /// Instance group of this host, in a heterogeneous cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_group_name: Option<String>,
    /// All instance groups; empty in local mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_groups: Vec<InstanceGroup>,
}

/// Instances of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceGroup {
    /// Name of the group.
    pub instance_group_name: String,
    /// Instance type, such as `ml.m5.large`.
    pub instance_type: String,
    /// Hosts of the group.
    pub hosts: Vec<String>,
}

impl Default for ResourceConfig {
    fn default() -> Self {
        Self {
            current_host: "localhost".to_owned(),
            hosts: vec!["localhost".to_owned()],
            network_interface_name: None,
            current_instance_type: None,
            current_group_name: None,
            instance_groups: Vec::new(),
        }
    }
}

impl ResourceConfig {
    /// Reads the file. A missing file means a single host.
    ///
    /// # Errors
    /// If the file cannot be read, or `current_host` is not in `hosts`: the leader would be
    /// ambiguous.
    pub fn read(path: &Path) -> Result<Self, ContractError> {
        let Some(mut config) = file::json::<Self>(path, EXPECTED)? else {
            return Ok(Self::default());
        };
        // The order determines the ranks, so it must be the same on all hosts.
        config.hosts.sort_unstable();
        config.hosts.dedup();
        if config.hosts.contains(&config.current_host) {
            return Ok(config);
        }
        Err(ContractError::Entry {
            kind: "host",
            problem: format!("is not one of the {} in `hosts`", config.hosts.len()),
            name: config.current_host,
            path: path.to_owned(),
            help: "add it to `hosts`, or remove the file to train on one host".to_owned(),
        })
    }

    /// True if this host writes the model: the first by name, like AWS's toolkit.
    pub fn is_leader(&self) -> bool {
        self.hosts
            .iter()
            .min()
            .is_none_or(|first| *first == self.current_host)
    }

    /// Rank of this host, from 0; the leader has rank 0.
    pub fn rank(&self) -> usize {
        self.hosts
            .iter()
            .filter(|host| **host < self.current_host)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ResourceConfig, ContractError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resourceconfig.json");
        std::fs::write(&path, text).unwrap();
        ResourceConfig::read(&path)
    }

    #[test]
    fn reads_heterogeneous_cluster() {
        let config = read(
            r#"{"current_host": "algo-2", "hosts": ["algo-2", "algo-1", "algo-10"],
            "network_interface_name": "eth0", "current_instance_type": "ml.m5.large",
            "current_group_name": "g", "topology": null, "instance_groups":
            [{"instance_group_name": "g", "instance_type": "ml.m5.large", "hosts": ["algo-2"]}]}"#,
        )
        .unwrap();
        assert!(!config.is_leader());
        assert_eq!(config.hosts, ["algo-1", "algo-10", "algo-2"]);
        assert_eq!(config.rank(), 2);
        assert_eq!(config.instance_groups[0].instance_type, "ml.m5.large");
        assert_eq!(config.network_interface_name.as_deref(), Some("eth0"));
    }

    #[test]
    fn exactly_one_host_is_leader() {
        let hosts = ["algo-1", "algo-2", "algo-10"];
        let leaders = hosts.iter().filter(|host| {
            let text = format!(
                r#"{{"current_host": "{host}", "hosts": ["algo-10", "algo-2", "algo-1"]}}"#
            );
            read(&text).unwrap().is_leader()
        });
        assert_eq!(leaders.collect::<Vec<_>>(), [&"algo-1"]);
    }

    #[test]
    fn missing_file_is_single_leader() {
        let config = ResourceConfig::read(Path::new("/nowhere/resourceconfig.json")).unwrap();
        assert!(config.is_leader());
        assert_eq!(config.rank(), 0);
        assert_eq!(read("{}").unwrap(), config);
    }

    #[test]
    fn host_outside_hosts_is_refused() {
        let error = read(r#"{"current_host": "algo-3", "hosts": ["algo-1"]}"#).unwrap_err();
        assert!(error.to_string().contains("host `algo-3`"), "{error}");
        assert!(error.help().contains("add it to `hosts`"), "{error:?}");
        let error = read(r#"{"hosts": "algo-1"}"#).unwrap_err();
        assert!(
            error.help().contains("expected an object such as"),
            "{error:?}"
        );
    }

    #[test]
    fn config_round_trips() {
        let config = ResourceConfig {
            current_host: "algo-1".to_owned(),
            hosts: vec!["algo-1".to_owned()],
            network_interface_name: Some("eth0".to_owned()),
            ..ResourceConfig::default()
        };
        assert_eq!(
            read(&serde_json::to_string(&config).unwrap()).unwrap(),
            config
        );
    }
}
