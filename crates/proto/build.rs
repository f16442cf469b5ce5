//! Generates the messages and services of this crate, with no protoc.
//!
//! Three sources become one descriptor set: the set inside the `envoy-types` package (which is
//! locked by cargo but never compiled), two messages that set lacks, and our own `/proto` files.
//! It is written to `OUT_DIR` for reflection, with its option extensions (the validation rules),
//! and handed to prost. Nothing is filtered out: all of it checks in about 11 s on two cores, and
//! a patch of a proxy's configuration may then name any extension that Envoy knows.

use std::{collections::BTreeMap, env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

#[path = "build/locate.rs"]
mod locate;
#[path = "build/raw.rs"]
mod raw;

/// Our own interface files, below `/proto` at the root of the repository.
const OWN: [&str; 3] = ["istio/nds.proto", "istio/ca.proto", "istio/pcds.proto"];

/// One file: as found on the wire (keeps option extensions) and decoded (loses them).
struct File {
    raw: Vec<u8>,
    decoded: FileDescriptorProto,
}

type Files = BTreeMap<String, File>;
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut files = Files::new();
    let source = locate::descriptor_set()?;
    println!("cargo::rerun-if-changed={}", source.display());
    for raw in raw::files(&fs::read(&source)?)? {
        add(&mut files, raw)?;
    }
    for package in ["udpa.type.v1", "xds.type.v3"] {
        add_decoded(&mut files, typed_struct(package))?;
    }
    for file in protox::compile(OWN, ["../../proto"])?.file {
        add_decoded(&mut files, file)?;
    }

    fs::write(
        out.join("descriptors.bin"),
        raw::set(files.values().map(|file| file.raw.as_slice())),
    )?;
    generate(FileDescriptorSet {
        file: files.into_values().map(|file| file.decoded).collect(),
    })?;
    Ok(())
}

fn add(files: &mut Files, raw: Vec<u8>) -> Outcome<()> {
    let decoded = FileDescriptorProto::decode(raw.as_slice())?;
    files
        .entry(decoded.name().to_owned())
        .or_insert(File { raw, decoded });
    Ok(())
}

fn add_decoded(files: &mut Files, mut file: FileDescriptorProto) -> Outcome<()> {
    file.source_code_info = None;
    add(files, file.encode_to_vec())
}

/// `TypedStruct` of one package: a message of any type, its value written as a struct.
fn typed_struct(package: &str) -> FileDescriptorProto {
    use prost_types::{
        DescriptorProto, FieldDescriptorProto,
        field_descriptor_proto::{Label, Type},
    };
    let field = |name: &str, number: i32, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let value = FieldDescriptorProto {
        type_name: Some(".google.protobuf.Struct".to_owned()),
        ..field("value", 2, Type::Message)
    };
    FileDescriptorProto {
        name: Some(format!("{}/typed_struct.proto", package.replace('.', "/"))),
        package: Some(package.to_owned()),
        dependency: vec!["google/protobuf/struct.proto".to_owned()],
        message_type: vec![DescriptorProto {
            name: Some("TypedStruct".to_owned()),
            field: vec![field("type_url", 1, Type::String), value],
            ..Default::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

/// Equal messages must encode to equal bytes, hence `btree_map`; the value of an `Any` is shared
/// between resources, hence `bytes`.
fn generate(set: FileDescriptorSet) -> std::io::Result<()> {
    let mut config = prost_build::Config::new();
    config
        .btree_map(["."])
        .bytes([".google.protobuf.Any"])
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .disable_comments(["."])
        .include_file("modules.rs");
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(set, config)
}
