//! The names of the mesh, which the agent asks for itself and Envoy never sees.

use super::Names;
use super::own::Kept;
use meltemi_proto::any::unpack;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::google::rpc::Status;
use meltemi_proto::istio::networking::nds::v1::NameTable;
use meltemi_proto::istio::networking::nds::v1::name_table::NameInfo;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `INTERNAL`, with which Istio's agent refuses too.
const INTERNAL: i32 = 13;

/// What was told of names: whole tables, or a resource for each host.
#[derive(Debug, Default)]
pub(super) struct Book {
    told: BTreeMap<String, (String, NameTable)>,
    version: String,
}

impl Kept for Book {
    fn versions(&self) -> BTreeMap<String, String> {
        let known = self.told.iter();
        known
            .map(|(name, (version, _))| (name.clone(), version.clone()))
            .collect()
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn change(
        &mut self,
        set: &mut dyn Iterator<Item = (String, String, Any)>,
        removed: &[String],
    ) -> Result<(), Status> {
        let mut read = Vec::new();
        for (name, version, body) in set {
            read.push((name, (version, table(&body)?)));
        }
        for name in removed {
            self.told.remove(name);
        }
        self.told.extend(read);
        Ok(())
    }

    fn replace(
        &mut self,
        version: &str,
        bodies: &mut dyn Iterator<Item = Any>,
    ) -> Result<(), Status> {
        let mut told = BTreeMap::new();
        for (number, body) in bodies.enumerate() {
            told.insert(format!("{number:08}"), (version.to_owned(), table(&body)?));
        }
        self.told = told;
        version.clone_into(&mut self.version);
        Ok(())
    }
}

impl Book {
    /// The names by host.
    pub(super) fn names(&self) -> Names {
        let mut names: BTreeMap<String, NameInfo> = BTreeMap::new();
        for (name, (_, NameTable { table, name_info })) in &self.told {
            names.extend(table.clone());
            names.extend(name_info.clone().map(|info| (name.clone(), info)));
        }
        Arc::new(names)
    }
}

fn table(body: &Any) -> Result<NameTable, Status> {
    unpack(body).map_err(|error| Status {
        code: INTERNAL,
        message: error.to_string(),
        ..Status::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::any::pack;

    fn info(ip: &str) -> NameInfo {
        NameInfo {
            ips: vec![ip.into()],
            ..NameInfo::default()
        }
    }

    fn host(ip: &str) -> Any {
        pack(&NameTable {
            name_info: Some(info(ip)),
            ..NameTable::default()
        })
    }

    #[test]
    fn hosts_come_and_go_one_by_one_or_at_once() {
        let mut book = Book::default();
        let (one, two) = (String::from("a.shop.svc"), String::from("b.shop.svc"));
        let set = vec![
            (one.clone(), "1".into(), host("10.0.0.1")),
            (two.clone(), "2".into(), host("10.0.0.2")),
        ];
        book.change(&mut set.into_iter(), &[]).unwrap();
        book.change(&mut std::iter::empty(), std::slice::from_ref(&one))
            .unwrap();
        assert_eq!(
            *book.names(),
            BTreeMap::from([(two.clone(), info("10.0.0.2"))])
        );
        assert_eq!(book.versions(), BTreeMap::from([(two, "2".to_owned())]));
        let whole = pack(&NameTable {
            table: BTreeMap::from([(one.clone(), info("10.0.0.3"))]),
            name_info: None,
        });
        book.replace("7", &mut std::iter::once(whole)).unwrap();
        assert_eq!(*book.names(), BTreeMap::from([(one, info("10.0.0.3"))]));
        assert_eq!(book.version(), "7");
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut book = Book::default();
        let set = [("a".to_owned(), "1".to_owned(), host("10.0.0.1"))];
        book.change(&mut set.into_iter(), &[]).unwrap();
        let broken = Any {
            type_url: "type.googleapis.com/other".into(),
            ..Any::default()
        };
        let set = [
            ("b".to_owned(), "2".to_owned(), host("10.0.0.2")),
            ("c".to_owned(), "2".to_owned(), broken.clone()),
        ];
        let refused = book
            .change(&mut set.into_iter(), &["a".into()])
            .unwrap_err();
        assert_eq!(refused.code, INTERNAL);
        book.replace("9", &mut std::iter::once(broken)).unwrap_err();
        assert_eq!(book.names().len(), 1);
    }
}
