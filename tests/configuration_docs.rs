//! Keeps `docs/configuration.md` equal to the option table.
//!
//! `make docs-generate` (or `LOGDRIVE_DOCS_WRITE=1`) rewrites the file; otherwise a difference
//! fails.

use std::path::PathBuf;

use logdrive::config::OPTIONS;
use logdrive::config::OptionSpec;

const HEAD: &str = "\
# Configuration

<!-- Generated from src/config/table.rs by `make docs-generate`. Edit that file, not this one. -->

Every option has one name and takes its value as text, in whatever way it is given:

| way | example | precedence |
|---|---|---|
| default | see below | weakest |
| file, TOML, at most 1 MiB | `linger = \"5ms\"` | |
| environment, `LOGDRIVE_`, upper case, dots as `_` | `LOGDRIVE_RING_BYTES_MAX=16MiB` | |
| URL | `receivers://h1:9092,h2:9092/app-logs?linger=5ms&codec=lz4` | |
| setter | `config.set(\"linger\", \"5ms\")` | strongest |

The stronger way wins, whatever the order in which they are used; within one way the later value wins.
Every value is checked when it is given; contradictions between options are found when the client is
opened, before anything starts. An error names the option, the value and what is allowed; an unknown
name is an error that names the nearest known one, also for an environment variable with our prefix.

## URL

`scheme://host:port,host:port/topic?name=value&name=value`

| scheme | the hosts are |
|---|---|
| `kafka` | bootstrap servers of one cluster; each partition's leader gets its batches |
| `receivers` | independent receivers, any of which takes any batch |
| `kafka+tls`, `receivers+tls` | the same over TLS; docs/security.md says what is verified |

At least one host, at most 256; a missing port is 9092; IPv6 addresses stand in brackets. The topic is
required. `%XX` escapes are decoded in topic and parameters (`&` is written `%26`); `+` is a plus. A user or
password is refused: a URL ends up in logs and process lists. A file may hold the URL under the name
`url`, the environment as `LOGDRIVE_URL`; the other entries beside it have precedence over its parameters.

## Values

| type | spelling |
|---|---|
| size | a whole number of bytes, or with `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), `KB`, `MB`, `GB`, `TB` (of 1000): `64KiB`, `1000000` |
| duration | a whole number with `us`, `ms`, `s`, `m` or `h`: `250us`, `5ms`; only `0` may go without unit |
| count | a whole number |
| choice | one of the words listed |
| flag | `true` or `false` |
| text, path | as it is, UTF-8 |

Upper and lower case matter; spaces, signs, fractions and other units are refused. In a file, sizes without
unit, counts and flags may be TOML numbers and booleans. Nested tables and dotted names mean the same, but
`codec` and `lanes` are options and prefixes at once, which TOML allows only with quotes: `\"codec.level\" = 3`.
";

#[test]
fn the_documentation_equals_the_option_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let generated = generate(OPTIONS);
    if std::env::var_os("LOGDRIVE_DOCS_WRITE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        committed == generated,
        "docs/configuration.md differs from src/config/table.rs at line {}: run `make docs-generate`",
        line.unwrap_or_else(|| committed.lines().count().min(generated.lines().count())) + 1
    );
}

#[test]
fn every_option_is_in_the_list_with_default_and_range() {
    let generated = generate(OPTIONS);
    for spec in OPTIONS {
        assert!(generated.contains(&format!("### `{}`\n", spec.name)), "{}", spec.name);
    }
    assert!(generated.contains("duration, default `20ms`: a duration"), "{generated}");
}

fn generate(options: &[OptionSpec]) -> String {
    let mut text = HEAD.to_owned();
    let mut group = "";
    for spec in options {
        if spec.group != group {
            group = spec.group;
            text.push_str(&format!("\n## {group}\n"));
        }
        let default = match spec.default {
            "" if spec.name == "topic" => "from the URL".to_owned(),
            "" => "unset".to_owned(),
            value => format!("`{value}`"),
        };
        let kind = spec.accepts.kind.name();
        text.push_str(&format!("\n### `{}`\n\n", spec.name));
        text.push_str(&format!("{kind}, default {default}: {}.\n\n", spec.accepts));
        for line in spec.documentation.lines() {
            text.push_str(line.trim_start());
            text.push('\n');
        }
    }
    text
}
