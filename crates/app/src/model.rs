//! The data that use cases and ports share and that no rule of `miaosha-domain` needs.

use miaosha_domain::claim::Claim;
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use miaosha_domain::money::Money;
use miaosha_domain::question::LocalizedText;
use miaosha_domain::sale::{Book, Sale};
use miaosha_domain::time::Timestamp;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Buys.
    Buyer,
    /// Plans sales.
    Editor,
    /// Everything.
    Admin,
}

impl Role {
    /// The name in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// The role called `name`, if there is one.
    pub fn lookup(name: &str) -> Option<Self> {
        [Self::Buyer, Self::Editor, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Lower-cased, unique.
    pub email: String,
    /// How the person wants to be called.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// In PHC string format; `None` for an account that cannot sign in.
    pub password_hash: Option<String>,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// A sale with its book, as committed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleRow {
    /// What was planned.
    pub sale: Sale,
    /// What its row counts.
    pub book: Book,
}

/// Buy requests of one sale that are published, decided and acknowledged together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBatch {
    /// The sale.
    pub sale: SaleId,
    /// In the order of arrival. A person may be in it twice.
    pub asks: Vec<Ask>,
    /// When the first of them was accepted, by the publisher's clock.
    pub accepted_at: Timestamp,
}

/// What a commit changed, for everyone who follows the sale. Facts of committed rows only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// The sale.
    pub sale: SaleId,
    /// Its book, where the commit was under the sale's lock; of two, the one with the higher version is the newer.
    pub book: Option<DatedBook>,
    /// Claims as they are in their rows; of two of one person, the one with the higher `rev` is the newer.
    pub claims: Vec<Claim>,
    /// People who were rejected and have no row.
    pub rejected: Vec<UserId>,
}

impl Outcomes {
    /// News of claims alone.
    pub const fn of_claims(sale: SaleId, claims: Vec<Claim>) -> Self {
        Self { sale, book: None, claims, rejected: Vec::new() }
    }

    /// News of people rejected without a row.
    pub const fn of_rejected(sale: SaleId, rejected: Vec<UserId>) -> Self {
        Self { sale, book: None, claims: Vec::new(), rejected }
    }

    /// News of a book and the claims that it counts.
    pub const fn of_book(sale: SaleId, book: DatedBook, claims: Vec<Claim>) -> Self {
        Self { sale, book: Some(book), claims, rejected: Vec::new() }
    }
}

/// A book with its date: news of it may come late, and says nothing of the time after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatedBook {
    /// The book.
    pub book: Book,
    /// When no newer one was committed yet; by the database's clock where that was read, else by the process's.
    pub as_of: Timestamp,
}

/// Where a parcel goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipping {
    /// The recipient.
    pub name: String,
    /// A phone number for the carrier.
    pub phone: String,
    /// The postal address.
    pub address: String,
}

/// Whether an order's money was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// Paid.
    Paid,
    /// The money went back.
    Refunded,
}

impl OrderStatus {
    /// The name in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Refunded => "refunded",
        }
    }

    /// The status called `name`, if there is one.
    pub fn lookup(name: &str) -> Option<Self> {
        [Self::Paid, Self::Refunded].into_iter().find(|status| status.name() == name)
    }
}

/// What a paid claim became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What the buyer quotes: random, so that it says nothing of how many there are.
    pub number: String,
    /// The sale.
    pub sale: SaleId,
    /// The buyer.
    pub user: UserId,
    /// The payment that paid it.
    pub payment: PaymentId,
    /// Paid or refunded.
    pub status: OrderStatus,
    /// What was bought.
    pub lines: Vec<OrderLine>,
    /// What it cost.
    pub totals: OrderTotals,
    /// Where it goes.
    pub shipping: Shipping,
    /// When it was paid.
    pub created_at: Timestamp,
}

/// One product of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// The product's title when it was sold.
    pub title: LocalizedText,
    /// Units.
    pub quantity: u32,
    /// For one.
    pub unit_price: Money,
    /// For all of them.
    pub total: Money,
}

/// The sums of an order, all in one currency; `total = net + tax + shipping − discount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderTotals {
    /// The lines, before tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// Shipping.
    pub shipping: Money,
    /// What was taken off.
    pub discount: Money,
    /// What was paid.
    pub total: Money,
}
