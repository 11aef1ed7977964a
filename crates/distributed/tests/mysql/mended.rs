//! Failures that whoever runs the server has to mend: no work may be given up for them.

use std::sync::Arc;

use miaosha_distributed::mysql::MysqlConfig;
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::scene::{self, SALE, TERMS};

use crate::database::{TestDatabase, connect, execute, stores_of};

#[test]
fn a_locked_account_and_a_table_that_is_away_pass_when_they_are_mended() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut root = database.connection().await;
        let account = format!("{}@'127.0.0.1'", &database.name);
        execute(&mut root, &format!("CREATE USER {account}; GRANT ALL ON *.* TO {account}")).await.unwrap();
        let primary = database.url().replace("//root@", &format!("//{}@", database.name));
        let mysql = connect(&MysqlConfig { primary, ..database.config() }).await.unwrap();
        let stores = stores_of(Arc::new(mysql), Box::new(()));
        scene::open_sale(&stores, 1, TERMS).await;

        let lock = format!("ALTER USER {account} ACCOUNT LOCK; KILL USER {account}");
        let unlock = format!("ALTER USER {account} ACCOUNT UNLOCK");
        let (rename, name_back) = ("RENAME TABLE claims TO away", "RENAME TABLE away TO claims");
        for (breaking, mending) in [(lock.as_str(), unlock.as_str()), (rename, name_back)] {
            execute(&mut root, breaking).await.unwrap();
            let refused = async {
                let Some(mut tx) = stores.sales.lock(SALE).await? else { panic!("the sale is there") };
                tx.standing().await.map(drop)
            };
            let error = refused.await.unwrap_err();
            assert!(!error.is_terminal(), "after {breaking}: {error:?}");
            execute(&mut root, mending).await.unwrap();
            scene::assert_sound(&stores).await;
        }
        execute(&mut root, &format!("DROP USER {account}")).await.unwrap();
    });
}
