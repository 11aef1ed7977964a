//! Sales, as visitors see them and as those who manage them do.

use miaosha_domain::question::{DEFAULT_LOCALE, Question, QuestionParts};
use miaosha_domain::sale::{Book, Sale};
use miaosha_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Moment, MoneyBody, Seconds};
use crate::extract::Languages;

/// A sale, in the visitor's language.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Sale)]
pub(crate) struct SaleBody {
    id: String,
    title: String,
    /// May be empty.
    description: String,
    /// The address of a picture.
    image: Option<String>,
    price: MoneyBody,
    /// The usual price.
    list_price: Option<MoneyBody>,
    /// Units in all.
    stock: u32,
    /// `scheduled`, `open`, `sold_out`, `paused` or `ended`.
    state: &'static str,
    starts_at: Moment,
    ends_at: Moment,
    /// How long a reservation waits for its payment, in seconds.
    hold_seconds: Seconds,
    /// To be answered with a request; the right answer is not told.
    question: Option<QuestionBody>,
    server_time: Moment,
}

/// A question about the product.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Question)]
struct QuestionBody {
    text: String,
    choices: Vec<String>,
}

impl SaleBody {
    /// The sale as it stands at `now`, for a reader of `languages`.
    pub(crate) fn new(sale: &Sale, book: &Book, languages: &Languages, now: Timestamp) -> Self {
        Self {
            id: sale.id.to_string(),
            title: languages.read(&sale.product.title).to_owned(),
            description: languages.read(&sale.product.description).to_owned(),
            image: sale.product.image.clone(),
            price: sale.price.into(),
            list_price: sale.list_price.map(MoneyBody::from),
            stock: book.stock,
            state: book.state(&sale.terms, now).name(),
            starts_at: Moment(sale.terms.starts_at),
            ends_at: Moment(sale.terms.ends_at),
            hold_seconds: Seconds(sale.terms.hold),
            question: sale.question.as_ref().map(|question| QuestionBody {
                text: languages.read(question.text()).to_owned(),
                choices: question.choices().iter().map(|choice| languages.read(choice).to_owned()).collect(),
            }),
            server_time: Moment(now),
        }
    }
}

/// A sale, as those who manage it see it: also what its row counts, and the right answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ManagedSale)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of the row, by their names")]
pub struct ManagedSaleBody {
    #[serde(flatten)]
    sale: SaleBody,
    /// The right answer to the question.
    answer: Option<String>,
    /// How many may stand by.
    standby_limit: u32,
    max_people: Option<u64>,
    /// IANA.
    time_zone: String,
    /// Units that nobody holds.
    free: u32,
    /// Units added that are not put up yet.
    incoming: u32,
    /// Units reserved, being paid, paid, or refunded and not restocked.
    taken: u32,
    /// How many stand by.
    standing: u32,
    standby_open: bool,
    standby_over: bool,
    all_paid: bool,
    paused: bool,
    closed: bool,
    /// Claims ever made.
    claims: u64,
    /// The `seq` promoted last.
    serving_seq: u64,
    /// Counts the changes of the row.
    version: u64,
}

impl ManagedSaleBody {
    /// The sale as it stands at `now`, for a reader of `languages`.
    pub(crate) fn new(sale: &Sale, book: &Book, languages: &Languages, now: Timestamp) -> Self {
        Self {
            sale: SaleBody::new(sale, book, languages, now),
            answer: sale.question.as_ref().map(right_answer),
            standby_limit: sale.terms.standby_limit,
            max_people: sale.max_people,
            time_zone: sale.time_zone.clone(),
            free: book.free(),
            incoming: book.incoming,
            taken: book.taken,
            standing: book.standing,
            standby_open: book.standby_open,
            standby_over: book.standby_over,
            all_paid: book.all_paid,
            paused: book.paused,
            closed: book.closed,
            claims: book.next_seq - 1,
            serving_seq: book.serving_seq,
            version: book.version,
        }
    }

    /// The same for a reader of the default locale: for the command line.
    pub fn in_default_locale(sale: &Sale, book: &Book, now: Timestamp) -> Self {
        Self::new(sale, book, &Languages::default(), now)
    }
}

fn right_answer(question: &Question) -> String {
    let QuestionParts { choices, right, .. } = question.clone().into();
    choices[right].in_locale(DEFAULT_LOCALE).to_owned()
}
