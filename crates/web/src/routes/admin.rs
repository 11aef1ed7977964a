//! `/admin`: for the roles `editor` and `admin`.

mod sales;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::web::Web;

/// The routes under `/admin`, but [`recount_routes`].
pub(crate) fn routes() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new()
        .routes(routes!(sales::list, sales::create))
        .routes(routes!(sales::show))
        .routes(routes!(sales::pause))
        .routes(routes!(sales::resume))
        .routes(routes!(sales::add_stock))
        .routes(routes!(sales::close))
}

/// Those that take as long as there is to count.
pub(crate) fn recount_routes() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(sales::verify))
}
