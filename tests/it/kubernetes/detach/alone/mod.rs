//! Rights: the API server writes down who asks for what, and is started anew for that.

mod rights;
mod rights_outside;

use super::*;
