//! What a module without `std` needs to run by itself: memory, and what becomes of a panic.

/// Small, and made for WebAssembly: the allocator that `std` uses there.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static MEMORY: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// Never reached by any argument; should it be, the host sees a trap, and goes on from its last snapshot.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
