//! Postal addresses and the people at them.

use super::schema::{Country, record};

record! {
    /// Where goods or bills go. All of it is personal data.
    #[derive(Default, Hash)]
    Address {
        optional {
            /// The person, as one text.
            name: Option<String>,
            /// The company.
            company: Option<String>,
            /// Street lines, from the house to the district.
            street: Vec<String>,
            /// The town.
            city: Option<String>,
            /// State, province or county; the code where the partner gives one.
            region: Option<String>,
            /// The postal code.
            postal_code: Option<String>,
            /// The country, ISO 3166-1 alpha-2.
            country: Option<Country>,
            /// Telephone number, as the partner wrote it.
            phone: Option<String>,
            /// Electronic mail address.
            email: Option<String>,
        }
    }
}

impl Address {
    /// What a carrier would miss, in words; empty when goods can be sent there.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
        let mut missing = Vec::new();
        if blank(&self.name) && blank(&self.company) {
            missing.push("name");
        }
        if self.street.iter().all(|line| line.trim().is_empty()) {
            missing.push("street");
        }
        if blank(&self.city) {
            missing.push("city");
        }
        if self.country.is_none() {
            missing.push("country");
        }
        missing
    }
}
