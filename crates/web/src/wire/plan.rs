//! What is given to plan a sale, over HTTP and on the command line, with the defaults of both.

use std::collections::BTreeMap;
use std::time::Duration;

use miaosha_app::manage_sale::{SalePlan, Starts};
use miaosha_domain::money::{Currency, Money, MoneyError};
use miaosha_domain::question::{LocalizedText, NoLocale, Question, QuestionError, QuestionParts};
use miaosha_domain::sale::PlanError;
use miaosha_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::MoneyBody;

/// A plan for a sale. Either `starts_at` or `starts_in_seconds`; everything that may be left out has a default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSale {
    /// The product's name: a text, or texts by locale.
    pub title: TextGiven,
    /// A longer text; empty if left out.
    #[serde(default)]
    pub description: TextGiven,
    /// The address of a picture.
    pub image: Option<String>,
    /// Units.
    #[schema(example = 100)]
    pub stock: u32,
    /// The price of a unit; 0 if left out.
    pub price: Option<PriceGiven>,
    /// ISO 4217, for prices that name none; `USD` if left out.
    pub currency: Option<String>,
    /// The usual price.
    pub list_price: Option<PriceGiven>,
    /// When it starts, in RFC 3339.
    pub starts_at: Option<String>,
    /// When it starts, from now.
    pub starts_in_seconds: Option<f64>,
    /// How long it takes requests; 15 minutes if left out.
    pub lasts_seconds: Option<f64>,
    /// How long a reservation waits for its payment; 10 minutes if left out.
    pub hold_seconds: Option<f64>,
    /// How many may stand by; as many as there are units if left out.
    pub standby: Option<u32>,
    /// How many people may be under way at once; as many as like if left out.
    pub max_people: Option<u64>,
    /// What is asked before buying; nothing if left out.
    pub question: Option<TextGiven>,
    /// What may be answered.
    #[serde(default)]
    pub choices: Vec<TextGiven>,
    /// The right one of `choices`, in any of its locales; ignored without a question.
    pub answer: Option<String>,
    /// The IANA time zone in which its times are shown; `UTC` if left out.
    pub time_zone: Option<String>,
}

/// A text in the default locale, or one by locale.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TextGiven {
    /// In the default locale.
    Plain(String),
    /// By BCP 47 tag, such as `{"en":"Console","zh-TW":"主機"}`.
    Localized(BTreeMap<String, String>),
}

impl Default for TextGiven {
    fn default() -> Self {
        Self::Plain(String::new())
    }
}

/// A price.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PriceGiven {
    /// In the plan's currency, such as `"199.00"`.
    Amount(String),
    /// With its currency.
    Money(MoneyBody),
}

/// Why a plan is not a sale, and the field to look at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {detail}")]
pub struct InvalidPlan {
    /// The field, by its name in the API.
    pub field: &'static str,
    /// What to do.
    pub detail: String,
}

const CURRENCY_DEFAULT: &str = "USD";

impl NewSale {
    /// The plan that is meant. Limits are checked when it is stored.
    ///
    /// # Errors
    /// The first [`InvalidPlan`] found.
    pub fn read(&self) -> Result<SalePlan, InvalidPlan> {
        let currency = self.currency.as_deref().unwrap_or(CURRENCY_DEFAULT);
        let price = match &self.price {
            Some(price) => price.read("price", currency)?,
            None => Money::zero(read_currency(currency)?),
        };
        let mut plan = SalePlan::new(self.title.read("title")?, self.stock, self.starts()?, price);
        plan.description = self.description.read("description")?;
        plan.image.clone_from(&self.image);
        plan.list_price =
            self.list_price.as_ref().map(|list| list.read("list_price", currency)).transpose()?;
        plan.question = self.question()?;
        plan.standby = self.standby;
        plan.max_people = self.max_people;
        if let Some(seconds) = self.hold_seconds {
            plan.hold = span("hold_seconds", seconds)?;
        }
        if let Some(seconds) = self.lasts_seconds {
            plan.lasts = span("lasts_seconds", seconds)?;
        }
        if let Some(name) = &self.time_zone {
            jiff::tz::TimeZone::get(name)
                .map_err(|_| invalid("time_zone", "give an IANA time zone such as Asia/Taipei"))?;
            plan.time_zone.clone_from(name);
        }
        Ok(plan)
    }

    fn starts(&self) -> Result<Starts, InvalidPlan> {
        match (&self.starts_at, self.starts_in_seconds) {
            (Some(at), None) => {
                let at: jiff::Timestamp =
                    at.parse().map_err(|_| invalid("starts_at", "give a moment in RFC 3339"))?;
                Ok(Starts::At(Timestamp::from_millis(at.as_millisecond())))
            }
            (None, Some(seconds)) => Ok(Starts::In(span("starts_in_seconds", seconds)?)),
            _ => Err(invalid("starts_at", "give either starts_at or starts_in_seconds")),
        }
    }

    fn question(&self) -> Result<Option<Question>, InvalidPlan> {
        let Some(text) = &self.question else { return Ok(None) };
        let choices = self.choices.iter().map(|choice| choice.read("choices"));
        let choices = choices.collect::<Result<Vec<_>, _>>()?;
        let answer = self.answer.as_deref().ok_or_else(|| invalid("answer", "say which choice is right"))?;
        let is_answer = |choice: &LocalizedText| choice.texts().any(|text| text.trim() == answer.trim());
        // A right answer that is none of the choices is refused with all other bad questions.
        let right = choices.iter().position(is_answer).unwrap_or(choices.len());
        let question = Question::new(QuestionParts { text: text.read("question")?, choices, right });
        question.map(Some).map_err(|error| {
            let field = if error == QuestionError::AnswerNotAChoice { "answer" } else { "choices" };
            invalid(field, error)
        })
    }
}

impl InvalidPlan {
    /// The field that a failed check of the whole plan is about.
    pub fn from_check(error: PlanError) -> Self {
        let field = match error {
            PlanError::Title => "title",
            PlanError::Description => "description",
            PlanError::Stock => "stock",
            PlanError::Standby => "standby",
            PlanError::Hold => "hold_seconds",
            PlanError::Lasts => "lasts_seconds",
            PlanError::MaxPeople => "max_people",
            PlanError::ListPrice => "list_price",
        };
        invalid(field, error)
    }
}

impl TextGiven {
    fn read(&self, field: &'static str) -> Result<LocalizedText, InvalidPlan> {
        match self {
            Self::Plain(text) => Ok(LocalizedText::plain(text)),
            Self::Localized(texts) => {
                let is_tag = |tag: &str| {
                    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                };
                if !texts.keys().all(|tag| is_tag(tag)) {
                    return Err(invalid(field, "name each locale by its BCP 47 tag, such as zh-TW"));
                }
                texts.clone().try_into().map_err(|error: NoLocale| invalid(field, error))
            }
        }
    }
}

impl PriceGiven {
    fn read(&self, field: &'static str, currency: &str) -> Result<Money, InvalidPlan> {
        let (amount, currency) = match self {
            Self::Amount(amount) => (amount.as_str(), currency),
            Self::Money(money) => (money.amount.as_str(), money.currency.as_str()),
        };
        Money::parse(amount, read_currency(currency)?).map_err(|error| invalid(field, error))
    }
}

fn read_currency(code: &str) -> Result<Currency, InvalidPlan> {
    code.parse().map_err(|error: MoneyError| invalid("currency", error))
}

fn span(field: &'static str, seconds: f64) -> Result<Duration, InvalidPlan> {
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid(field, "give a number of seconds, not below 0"))
}

fn invalid(field: &'static str, detail: impl std::fmt::Display) -> InvalidPlan {
    InvalidPlan { field, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use miaosha_domain::money::MoneyError;
    use serde_json::{Value, json};

    use super::*;

    fn read(plan: Value) -> Result<SalePlan, InvalidPlan> {
        serde_json::from_value::<NewSale>(plan).unwrap().read()
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let plan = read(json!({"title":"Console","stock":10,"starts_in_seconds":5})).unwrap();
        assert_eq!(plan.price.to_string(), "0.00");
        assert_eq!(plan.price.currency().code(), "USD");
        assert_eq!(plan.starts, Starts::In(Duration::from_secs(5)));
        assert_eq!((plan.lasts, plan.hold), (Duration::from_mins(15), Duration::from_mins(10)));
        assert_eq!(plan.time_zone, "UTC");
        assert!(plan.question.is_none() && plan.max_people.is_none() && plan.standby.is_none());
    }

    #[test]
    fn texts_and_the_right_answer_may_be_in_several_languages() {
        let plan = read(json!({
            "title": {"en":"Console","zh-TW":"主機"}, "stock": 1, "starts_at": "2027-01-15T16:00:00+08:00",
            "price": "199.5", "list_price": {"amount":"399","currency":"USD"},
            "question": {"en":"Who?","zh-TW":"誰？"}, "answer": "索尼",
            "choices": [{"en":"Microsoft","zh-TW":"微軟"}, {"en":"Sony","zh-TW":"索尼"}],
        }))
        .unwrap();
        assert_eq!(plan.starts, Starts::At(Timestamp::from_millis(1_800_000_000_000)));
        assert!(plan.question.unwrap().is_right("sony"));
        assert_eq!(plan.list_price.unwrap().to_string(), "399.00");
    }

    #[test]
    fn a_plan_that_cannot_be_read_names_the_field() {
        let good = json!({"title":"Console","stock":10,"starts_in_seconds":5});
        let cases = [
            ("starts_in_seconds", json!(-1), "starts_in_seconds"),
            ("starts_at", json!("2027-01-15T16:00:00Z"), "starts_at"),
            ("hold_seconds", json!(-0.5), "hold_seconds"),
            ("price", json!("-1"), "price"),
            ("currency", json!("usd"), "currency"),
            ("time_zone", json!("Mars/Olympus"), "time_zone"),
            ("title", json!({}), "title"),
            ("title", json!({"e n":"x"}), "title"),
            ("question", json!("Who?"), "answer"),
        ];
        for (name, value, field) in cases {
            let mut plan = good.clone();
            plan[name] = value;
            assert_eq!(read(plan.clone()).unwrap_err().field, field, "{plan}");
        }
        assert_eq!(
            read(json!({"title":"C","stock":1,"starts_in_seconds":0,"price":"x"})).unwrap_err().detail,
            MoneyError::MalformedAmount.to_string()
        );
    }
}
