//! Query strings and forms, read strictly: an unknown or ill-formed parameter is named, with what was expected.

use std::fmt::Display;
use std::str::FromStr;

use super::error::ApiError;

/// The parameters of a request. Empty values count as absent, as forms send them.
#[derive(Debug, Clone, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads `raw` (a query string or a form's body).
    ///
    /// # Errors
    /// When a parameter is not one of `known`, or stands there twice.
    pub fn parse(raw: &str, known: &[&str]) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(raw).map_err(|error| ApiError::bad(format!("query: {error}")))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(
                    ApiError::bad(format!("unknown parameter `{name}`")).nearest(name, known.iter().copied())
                );
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::bad(format!("parameter `{name}` is given twice")).help("give it once"));
            }
        }
        Ok(Self { pairs })
    }

    /// The text of `name`, trimmed.
    pub fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.pairs.iter().find(|(key, _)| key == name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The text of `name` as it stands, with the blanks around it.
    pub fn whole(&self, name: &str) -> String {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// One of the words `known`.
    ///
    /// # Errors
    /// When it is another.
    pub fn word<'a>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<String>, ApiError> {
        let Some(given) = self.text(name) else { return Ok(None) };
        let known: Vec<&str> = known.into_iter().collect();
        if known.contains(&given.as_str()) {
            return Ok(Some(given));
        }
        Err(ApiError::bad(format!("parameter `{name}`: there is no `{given}`")).nearest(&given, known))
    }

    /// A whole number from `low` to `high`.
    ///
    /// # Errors
    /// When it is none.
    pub fn number<T: FromStr + PartialOrd + Display + Copy>(
        &self,
        name: &str,
        low: T,
        high: T,
    ) -> Result<Option<T>, ApiError> {
        let Some(given) = self.text(name) else { return Ok(None) };
        match given.parse::<T>() {
            Ok(number) if number >= low && number <= high => Ok(Some(number)),
            _ => Err(ApiError::bad(format!("parameter `{name}`: `{given}`"))
                .help(format!("a whole number from {low} to {high} was expected"))),
        }
    }

    /// `true` or `false`; absent is false.
    ///
    /// # Errors
    /// When it is another word.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(given) => Err(ApiError::bad(format!("parameter `{name}`: `{given}`"))
                .help("`true` or `false` was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong_and_what_was_meant() {
        let error = Params::parse("pase=shipped", &["phase", "limit"]).unwrap_err();
        assert_eq!(error.error, "unknown parameter `pase`");
        assert_eq!(error.help.as_deref(), Some("did you mean `phase`?"));

        let params = Params::parse("phase=shiped&limit=0", &["phase", "limit"]).unwrap();
        let error = params.word("phase", ["received", "shipped"]).unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `shipped`?"));
        let error = params.number::<u32>("limit", 1, 500).unwrap_err();
        assert_eq!(error.help.as_deref(), Some("a whole number from 1 to 500 was expected"));
        assert!(Params::parse("phase=a&phase=b", &["phase"]).is_err());
    }

    #[test]
    fn empty_values_count_as_absent() {
        let params = Params::parse("search=&limit=+20+", &["search", "limit"]).unwrap();
        assert_eq!(params.text("search"), None);
        assert_eq!(params.number::<u32>("limit", 1, 500), Ok(Some(20)));
        assert_eq!(params.flag("search"), Ok(false));
    }
}
