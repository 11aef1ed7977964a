//! What `--demo` makes: a user, an administrator, and a sale that opens 30 seconds later and comes round again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use miaosha_app::Ports;
use miaosha_app::manage_sale::{SalePlan, Starts, plan_sale};
use miaosha_app::model::Role;
use miaosha_app::ports::Passwords;
use miaosha_app::sign_up::{SignUp, SignedUp, new_password, sign_up};
use miaosha_domain::money::Money;
use miaosha_domain::question::{LocalizedText, Question, QuestionParts};
use tracing::{info, warn};

const BUYER_EMAIL: &str = "demo@test.com";
const BUYER_PASSWORD: &str = "demodemo";
const ADMIN_EMAIL: &str = "admin@test.com";

const OPENS_IN: Duration = Duration::from_secs(30);
const LASTS: Duration = Duration::from_mins(5);
const HOLD: Duration = Duration::from_mins(2);
const STOCK: u32 = 3;

/// Makes the accounts, then keeps a sale coming.
pub(crate) async fn run(ports: Ports, passwords: Arc<dyn Passwords>) {
    if let Err(error) = make_accounts(&ports, passwords.as_ref()).await {
        warn!(%error, "the demo accounts were not made");
    }
    keep_a_sale_coming(&ports).await;
}

/// Makes the accounts that are missing; a new administrator's password goes to the log, once.
async fn make_accounts(ports: &Ports, passwords: &dyn Passwords) -> anyhow::Result<()> {
    let buyer = SignUp {
        email: BUYER_EMAIL.to_owned(),
        name: "Demo".to_owned(),
        password: BUYER_PASSWORD.to_owned(),
        role: Role::Buyer,
    };
    make_account(ports, passwords, buyer).await?;
    let password = new_password(ports.random.as_ref());
    let admin = SignUp {
        email: ADMIN_EMAIL.to_owned(),
        name: "Administrator".to_owned(),
        password: password.clone(),
        role: Role::Admin,
    };
    if make_account(ports, passwords, admin).await? {
        info!("the administrator is {ADMIN_EMAIL}, password {password} (shown once)");
    }
    info!("the demo user is {BUYER_EMAIL}, password {BUYER_PASSWORD}");
    Ok(())
}

/// Whether the account was missing.
async fn make_account(ports: &Ports, passwords: &dyn Passwords, form: SignUp) -> anyhow::Result<bool> {
    match sign_up(ports, passwords, form).await? {
        SignedUp::Created(_) => Ok(true),
        SignedUp::EmailTaken => Ok(false),
        refused => bail!("a demo account was refused: {refused:?}"),
    }
}

/// Opens a sale 30 seconds from now, and another one each time one ends.
async fn keep_a_sale_coming(ports: &Ports) {
    loop {
        match plan().map(|plan| plan_sale(ports, plan)) {
            Ok(planning) => match planning.await {
                Ok(Ok(row)) => info!(sale = %row.sale.id, "the demo sale opens in 30 seconds"),
                Ok(Err(error)) => warn!(%error, "the demo sale was refused"),
                Err(error) => warn!(%error, "the demo sale was not stored"),
            },
            Err(error) => warn!(%error, "the demo sale cannot be planned"),
        }
        ports.clock.sleep(OPENS_IN + LASTS).await;
    }
}

fn plan() -> anyhow::Result<SalePlan> {
    let usd = "USD".parse()?;
    let title = both("Aurora Pocket Console", "極光掌上遊戲機");
    let price = Money::parse("19.90", usd)?;
    let question = Question::new(QuestionParts {
        text: both("How many units of it are for sale here?", "這裡一共販售幾台？"),
        choices: vec![both("One", "一台"), both("Three", "三台"), both("A hundred", "一百台")],
        right: 1,
    });
    let description = both(
        "A hand-held console, at a tenth of its price. Three are for sale. Whoever comes first reserves one and has two \
         minutes to pay; the next in line stand by.",
        "一折的掌上遊戲機，只有三台。先到的人可以保留一台，並在兩分鐘內付款；其他人依序候補。",
    );
    Ok(SalePlan {
        description,
        lasts: LASTS,
        hold: HOLD,
        standby: Some(5),
        list_price: Some(Money::parse("199.00", usd)?),
        question: Some(question.context("the demo question")?),
        ..SalePlan::new(title, STOCK, Starts::In(OPENS_IN), price)
    })
}

fn both(en: &str, zh_tw: &str) -> LocalizedText {
    let texts = BTreeMap::from([("en".to_owned(), en.to_owned()), ("zh-TW".to_owned(), zh_tw.to_owned())]);
    texts.try_into().expect("there are two locales")
}
