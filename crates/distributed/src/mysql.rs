//! MySQL and MariaDB: the database that decides.
