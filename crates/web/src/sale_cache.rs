//! Sales as JSON texts, ready to be sent: what a crowd of visitors loads is written once for each change and language.
//!
//! A text is everything of a [`SaleBody`] but its last field, the time, which is added to each answer. It is used only
//! while the sale is exactly as it was when the text was written, so an answer is never older than the board.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miaosha_app::board::BoardSale;
use miaosha_domain::ids::SaleId;
use miaosha_domain::question::LocalizedText;
use miaosha_domain::sale::{Sale, SaleState};
use miaosha_domain::time::Timestamp;
use parking_lot::RwLock;

use crate::extract::Languages;
use crate::wire::{Moment, SaleBody};

/// Texts kept of one sale, at the most: one for each mixture of languages that readers have asked for.
const TEXTS_MAX: usize = 16;

/// The texts of every sale that was asked for.
#[derive(Debug, Default)]
pub(crate) struct SaleCache {
    by_sale: RwLock<HashMap<SaleId, Vec<Arc<SaleText>>>>,
}

/// One sale in one mixture of languages.
#[derive(Debug)]
pub(crate) struct SaleText {
    shown: Shown,
    /// Up to the last field and the opening quote of its value.
    json: String,
    digest: digest::Digest,
}

/// All that a text depends on, besides what never changes.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    stock: u32,
    state: SaleState,
    /// That of each text of the sale, in order.
    locales: String,
}

/// What comes before the time.
const TIME_FIELD: &str = r#""server_time":""#;

impl SaleCache {
    /// The sale as it stands at `now`, for a reader of `languages`.
    pub(crate) fn text(&self, sale: &BoardSale, languages: &Languages, now: Timestamp) -> Arc<SaleText> {
        let book = sale.book();
        let state = book.state(&sale.sale.terms, now);
        let shown = Shown { stock: book.stock, state, locales: locales_of(&sale.sale, languages) };
        let known = self.lookup(sale.sale.id, &shown);
        let outcome = if known.is_some() { "hit" } else { "miss" };
        metrics::counter!("miaosha_cache_total", "cache" => "sales", "outcome" => outcome).increment(1);
        known.unwrap_or_else(|| {
            let body = SaleBody::new(&sale.sale, &book, languages, now);
            let text = Arc::new(SaleText::write(&body, shown));
            self.keep(sale.sale.id, text.clone());
            text
        })
    }

    fn lookup(&self, sale: SaleId, shown: &Shown) -> Option<Arc<SaleText>> {
        self.by_sale.read().get(&sale)?.iter().find(|text| text.shown == *shown).cloned()
    }

    fn keep(&self, sale: SaleId, text: Arc<SaleText>) {
        let mut by_sale = self.by_sale.write();
        let texts = by_sale.entry(sale).or_default();
        // Those in the same languages are of the past.
        texts.retain(|kept| kept.shown.locales != text.shown.locales);
        if texts.len() == TEXTS_MAX {
            texts.remove(0);
        }
        texts.push(text);
    }
}

impl SaleText {
    fn write(body: &SaleBody, shown: Shown) -> Self {
        let mut json = serde_json::to_string(body).expect("a sale always has a JSON form");
        let time = json.rfind(TIME_FIELD).expect("a sale has a time") + TIME_FIELD.len();
        json.truncate(time);
        let digest = digest::digest(&digest::SHA256, json.as_bytes());
        Self { shown, json, digest }
    }

    /// The whole of it, at `now`, added to `body`.
    pub(crate) fn add_to(&self, body: &mut String, now: &str) {
        body.push_str(&self.json);
        body.push_str(now);
        body.push_str("\"}");
    }

    /// The tag of this sale alone.
    pub(crate) fn etag(&self) -> String {
        as_etag(&self.digest)
    }
}

/// A page of sales as `{"items":[…],"next":…}` at `now`, and its tag.
pub(crate) fn page_of(texts: &[Arc<SaleText>], next: Option<SaleId>, now: Timestamp) -> (String, String) {
    let now = Moment(now).to_string();
    let len: usize = texts.iter().map(|text| text.json.len() + 32).sum();
    let mut body = String::with_capacity(len + 64);
    let mut digest = digest::Context::new(&digest::SHA256);
    body.push_str(r#"{"items":["#);
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        text.add_to(&mut body, &now);
        digest.update(text.digest.as_ref());
    }
    let next = next.map_or_else(|| "null".to_owned(), |id| format!("\"{id}\""));
    digest.update(next.as_bytes());
    body.push_str(r#"],"next":"#);
    body.push_str(&next);
    body.push('}');
    (body, as_etag(&digest.finish()))
}

/// Weak, because bodies with one tag differ in their time.
fn as_etag(digest: &digest::Digest) -> String {
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]))
}

/// The locale in which each text of a sale is shown to these readers.
fn locales_of(sale: &Sale, languages: &Languages) -> String {
    let question =
        sale.question.iter().flat_map(|question| [question.text()].into_iter().chain(question.choices()));
    let texts = [&sale.product.title, &sale.product.description].into_iter().chain(question);
    let locale = |text: &LocalizedText| format!("{} ", languages.locale_of(text));
    texts.map(locale).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use miaosha_app::board::Board;
    use miaosha_app::model::SaleRow;
    use miaosha_domain::ids::ProductId;
    use miaosha_domain::money::Money;
    use miaosha_domain::sale::{Book, Product, Terms};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn row() -> SaleRow {
        let texts = [("en", "Say \"server_time\":\""), ("zh-TW", "主機")];
        let title = texts.map(|(locale, text)| (locale.to_owned(), text.to_owned()));
        let title = std::collections::BTreeMap::from(title).try_into().unwrap();
        let terms = Terms {
            starts_at: NOON + Duration::from_secs(1),
            ends_at: NOON + Duration::from_mins(10),
            hold: Duration::from_mins(1),
            standby_limit: 1,
            standby_grace: Duration::from_mins(2),
        };
        let sale = Sale {
            id: SaleId::new(7).unwrap(),
            product: Product {
                id: ProductId::new(8).unwrap(),
                title,
                description: LocalizedText::plain(""),
                image: None,
            },
            price: Money::from_minor(19_900, "USD".parse().unwrap()).unwrap(),
            list_price: None,
            question: None,
            max_people: None,
            time_zone: "UTC".to_owned(),
            terms,
        };
        SaleRow { book: Book::new(3, &sale.terms), sale }
    }

    fn whole(text: &SaleText, now: Timestamp) -> String {
        let mut body = String::new();
        text.add_to(&mut body, &Moment(now).to_string());
        body
    }

    #[test]
    fn a_kept_text_reads_as_one_just_written() {
        let (board, cache, row) = (Board::new(), SaleCache::default(), row());
        let sale = board.put(row.clone(), NOON);
        for languages in ["en", "zh", "de, zh;q=0.5", "fr"].map(Languages::parse) {
            for now in [NOON, NOON + Duration::from_millis(5), NOON + Duration::from_secs(2)] {
                let fresh = SaleBody::new(&row.sale, &row.book, &languages, now);
                let fresh = serde_json::to_string(&fresh).unwrap();
                for _ in 0..2 {
                    assert_eq!(whole(&cache.text(&sale, &languages, now), now), fresh);
                }
            }
        }
    }

    #[test]
    fn the_tag_changes_with_what_is_shown_and_not_with_the_time() {
        let (board, cache, row) = (Board::new(), SaleCache::default(), row());
        let sale = board.put(row.clone(), NOON);
        let english = Languages::parse("en");
        let tag = |languages: &Languages, after_ms| {
            cache.text(&sale, languages, NOON + Duration::from_millis(after_ms)).etag()
        };
        let first = tag(&english, 0);
        assert_eq!(tag(&english, 500), first);
        assert_ne!(tag(&english, 1_500), first, "it has opened");
        assert_ne!(tag(&Languages::parse("zh"), 0), first);
        let book = Book { stock: 4, version: row.book.version + 1, ..row.book };
        board.put(SaleRow { book, ..row }, NOON);
        assert_ne!(tag(&english, 0), first, "there is more of it");
    }

    #[test]
    fn hits_and_misses_are_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let figures = recorder.handle();
        let sale = Board::new().put(row(), NOON);
        metrics::with_local_recorder(&recorder, || {
            let cache = SaleCache::default();
            for language in ["en", "zh", "en", "en", "de"] {
                cache.text(&sale, &Languages::parse(language), NOON);
            }
        });
        let figures = figures.render();
        assert!(figures.contains(r#"miaosha_cache_total{cache="sales",outcome="hit"} 3"#), "{figures}");
        assert!(figures.contains(r#"miaosha_cache_total{cache="sales",outcome="miss"} 2"#), "{figures}");
    }

    #[test]
    fn what_is_kept_of_one_sale_is_bounded() {
        let cache = SaleCache::default();
        let row = row();
        for number in 0..100 {
            let shown = Shown { stock: 3, state: SaleState::Open, locales: format!("x-{number} ") };
            let body = SaleBody::new(&row.sale, &row.book, &Languages::default(), NOON);
            cache.keep(row.sale.id, Arc::new(SaleText::write(&body, shown)));
        }
        assert_eq!(cache.by_sale.read()[&row.sale.id].len(), TEXTS_MAX);
    }
}
