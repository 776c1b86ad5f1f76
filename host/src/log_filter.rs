//! The filter of `--log`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Reads a filter: levels, `MODULE=LEVEL`, or both with commas between them. A word without `=` is a level: as the name
/// of a module, a mistyped level would log nothing.
pub(crate) fn parse_log_filter(text: &str) -> Result<String, String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    if directives.is_empty() {
        return Err("expected a level: off, error, warn, info, debug or trace".to_owned());
    }
    for directive in &directives {
        let level = directive.rsplit_once('=').map_or(*directive, |(_, level)| level);
        // The parser takes an empty level as an error.
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "'{level}' is not a level (off, error, warn, info, debug, trace); for one module, write MODULE=LEVEL, \
                 as in info,argus_host::wire=debug"
            ));
        }
        if directive.split('=').next().is_some_and(|module| module.contains('-')) {
            return Err(format!(
                "'{directive}' matches nothing: the names of modules have '_' for '-', as in argus_host=debug"
            ));
        }
    }
    let filter = directives.join(",");
    EnvFilter::builder().parse(&filter).map(|_| filter).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_filter_is_levels_and_modules_with_levels() {
        for (text, filter) in [
            ("off", "off"),
            ("INFO", "INFO"),
            ("3", "3"),
            ("info,argus_host::wire=debug", "info,argus_host::wire=debug"),
            (" warn , argus_host=trace,", "warn,argus_host=trace"),
            ("argus_host[request{status=500}]=debug", "argus_host[request{status=500}]=debug"),
        ] {
            assert_eq!(parse_log_filter(text).as_deref(), Ok(filter), "{text:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for (text, named) in [
            ("verbose", "'verbose' is not a level"),
            ("argus_host", "'argus_host' is not a level"),
            ("warning", "(off, error, warn, info, debug, trace)"),
            ("info,fine", "'fine'"),
            ("6", "'6'"),
            ("argus_host=loud", "'loud'"),
            ("argus_host=", "MODULE=LEVEL"),
            ("argus-host=debug", "'_' for '-'"),
            ("info,argus-tokio=debug", "'_' for '-'"),
            ("", "expected a level"),
            (" ,", "expected a level"),
            ("=debug", "invalid"),
        ] {
            let message = parse_log_filter(text).unwrap_err();
            assert!(message.contains(named), "{text:?}: {message}");
        }
    }
}
