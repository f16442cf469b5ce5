//! WasmPlugin and TrafficExtension, except for their attachment.

use super::shared::ONE_ATTACHMENT;
use crate::constraint::{Row, Says, Says::*};

/// A text without a scheme is the name of an OCI image, which `http://` makes a URL of.
const PROGRAM_URL: Says = Cel(
    "['', 'oci', 'http', 'https', 'file'].exists(scheme, isURL(self) ? url(self).getScheme() == scheme \
     : isURL('http://' + self) && scheme == 'http')",
    "is not a URL of a program: use oci, http, https or file",
);

pub(super) const WASM_PLUGIN: &[Row] = &[
    ("WasmPlugin", Required(&["url"])),
    ("WasmPlugin", ONE_ATTACHMENT),
    ("WasmPlugin.targetRefs", MaxItems(16)),
    ("WasmPlugin.imagePullSecret", MinLength(1)),
    ("WasmPlugin.imagePullSecret", MaxLength(253)),
    ("WasmPlugin.pluginName", MinLength(1)),
    ("WasmPlugin.pluginName", MaxLength(256)),
    ("WasmPlugin.priority", Nullable),
    ("WasmPlugin.sha256", Pattern("^([0-9a-f]{64})?$")),
    ("WasmPlugin.url", MinLength(1)),
    ("WasmPlugin.url", PROGRAM_URL),
];

pub(super) const TRAFFIC_EXTENSION: &[Row] = &[
    ("TrafficExtension", AtMostOne(&["wasm", "lua"])),
    (
        "TrafficExtension",
        Cel(
            "!(has(self.selector) && has(self.targetRefs))",
            "selector and targetRefs are both set",
        ),
    ),
    (
        "TrafficExtension",
        Cel(
            "has(self.lua) != has(self.wasm)",
            "exactly one program is needed: wasm or lua",
        ),
    ),
    ("TrafficExtension.targetRefs", MaxItems(16)),
    ("TrafficExtension.priority", Nullable),
    ("LuaConfig", Required(&["inlineCode"])),
    ("LuaConfig.inlineCode", MinLength(1)),
    ("LuaConfig.inlineCode", MaxLength(65536)),
    ("WasmConfig", Required(&["url"])),
    ("WasmConfig.imagePullSecret", MinLength(1)),
    ("WasmConfig.imagePullSecret", MaxLength(253)),
    ("WasmConfig.pluginName", MinLength(1)),
    ("WasmConfig.pluginName", MaxLength(256)),
    ("WasmConfig.sha256", Pattern("^([0-9a-f]{64})?$")),
    ("WasmConfig.url", MinLength(1)),
    ("WasmConfig.url", PROGRAM_URL),
];

pub(super) const SHARED: &[Row] = &[
    ("TrafficSelector.ports", KeyedBy(&["number"])),
    ("PortSelector", Required(&["number"])),
    ("PortSelector.number", Minimum(1)),
    ("PortSelector.number", Maximum(65535)),
    ("VmConfig.env", MaxItems(256)),
    ("VmConfig.env", KeyedBy(&["name"])),
    ("EnvVar", Required(&["name"])),
    (
        "EnvVar",
        Cel(
            "!(has(self.value) && has(self.valueFrom) && self.valueFrom == 'HOST')",
            "a value is for INLINE variables alone, not for those of the host",
        ),
    ),
    ("EnvVar.name", MinLength(1)),
    ("EnvVar.name", MaxLength(256)),
    ("EnvVar.value", MaxLength(2048)),
];
