//! A call that panics. Only the build of tests/hostile/two-libraries has it: no header declares it, and no released
//! library contains it.

use super::guard::call;
use super::status::gptz_status;

/// Panics inside the library, as a defect would. Returns GPTZ_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_testing_panic() -> gptz_status {
    call(|| panic!("a panic for a test"))
}
