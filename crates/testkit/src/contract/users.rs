//! What `UserStore` promises.

use futures_util::future::join_all;
use miaosha_app::model::{Role, User};
use miaosha_app::ports::NewUser;
use miaosha_domain::time::Timestamp;

use super::Stores;
use super::scene::user;

/// Runs the suite of `UserStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! user_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { user_store_contract, $make, users, [
            an_account_reads_back_by_id_and_by_address,
            a_taken_address_stores_nothing,
            of_two_with_one_address_at_once_one_is_stored,
            addresses_are_compared_as_they_are_given,
            missing_accounts_are_made_and_known_ones_kept,
        ] }
    };
}

fn account(raw: u64, email: &str) -> User {
    User {
        id: user(raw),
        email: email.to_owned(),
        name: format!("Nº {raw}"),
        role: Role::Buyer,
        password_hash: Some("$argon2id$v=19$hash".to_owned()),
        created_at: Timestamp::from_millis(1_700_000_000_123),
    }
}

/// "The account with this id", "The account with this address", and none where there is none.
pub async fn an_account_reads_back_by_id_and_by_address(stores: Stores) {
    let roles = [Role::Buyer, Role::Editor, Role::Admin];
    for (raw, role) in (1..).zip(roles) {
        let made = User { role, ..account(raw, &format!("{raw}@example.com")) };
        let made = if role == Role::Admin { User { password_hash: None, ..made } } else { made };
        assert_eq!(stores.users.create(&made).await.unwrap(), NewUser::Created);
        assert_eq!(stores.users.lookup(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(stores.users.lookup_by_email(&made.email).await.unwrap(), Some(made));
    }
    assert_eq!(stores.users.lookup(user(9)).await.unwrap(), None);
    assert_eq!(stores.users.lookup_by_email("9@example.com").await.unwrap(), None);
}

/// "Somebody has this e-mail address; nothing was stored."
pub async fn a_taken_address_stores_nothing(stores: Stores) {
    let first = account(1, "a@example.com");
    stores.users.create(&first).await.unwrap();
    let second = account(2, "a@example.com");
    assert_eq!(stores.users.create(&second).await.unwrap(), NewUser::EmailTaken);
    assert_eq!(stores.users.lookup(user(2)).await.unwrap(), None);
    assert_eq!(stores.users.lookup_by_email("a@example.com").await.unwrap(), Some(first));
}

/// "Of two with one address, one is stored."
pub async fn of_two_with_one_address_at_once_one_is_stored(stores: Stores) {
    let accounts: Vec<User> = (1..9).map(|raw| account(raw, "a@example.com")).collect();
    let made = join_all(accounts.iter().map(|account| stores.users.create(account))).await;
    let created = made.into_iter().filter(|result| *result.as_ref().unwrap() == NewUser::Created).count();
    assert_eq!(created, 1);
    let found = join_all(accounts.iter().map(|account| stores.users.lookup(account.id))).await;
    assert_eq!(found.into_iter().filter(|user| user.as_ref().unwrap().is_some()).count(), 1);
}

/// "E-mail addresses are compared as they are given."
pub async fn addresses_are_compared_as_they_are_given(stores: Stores) {
    for (raw, email) in (1..).zip(["a@example.com", "A@example.com", "á@example.com", "a@example.com "]) {
        assert_eq!(stores.users.create(&account(raw, email)).await.unwrap(), NewUser::Created, "{email:?}");
    }
    assert_eq!(stores.users.lookup_by_email("A@EXAMPLE.COM").await.unwrap(), None);
}

/// "Stores those whose address is new, in one transaction, and returns the id that each address has now, in the order
/// given."
pub async fn missing_accounts_are_made_and_known_ones_kept(stores: Stores) {
    let known = account(5, "known@example.com");
    stores.users.create(&known).await.unwrap();
    let asked = [
        account(1, "b@example.com"),
        account(2, "known@example.com"),
        account(3, "a@example.com"),
        account(4, "b@example.com"),
    ];
    assert_eq!(stores.users.create_missing(&asked).await.unwrap(), [1, 5, 3, 1].map(user));
    assert_eq!(stores.users.lookup(user(5)).await.unwrap(), Some(known));
    assert_eq!(stores.users.lookup(user(3)).await.unwrap(), Some(asked[2].clone()));
    for never in [2, 4] {
        assert_eq!(stores.users.lookup(user(never)).await.unwrap(), None);
    }
    assert_eq!(stores.users.create_missing(&asked).await.unwrap(), [1, 5, 3, 1].map(user));

    let clash = [account(8, "new@example.com"), account(5, "other@example.com")];
    assert!(stores.users.create_missing(&clash).await.is_err(), "one id for two addresses");
    assert_eq!(stores.users.lookup(user(8)).await.unwrap(), None, "the transaction is one");
}
