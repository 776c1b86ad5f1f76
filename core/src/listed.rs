//! Enums that list their variants.

/// Declares an enum without fields together with `ALL`, its variants in their order: a list that cannot lack one.
macro_rules! listed {
    ($(#[$about:meta])* $visible:vis enum $name:ident { $($(#[$variant_about:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        $visible enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// Every variant, each at the index of its discriminant.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }
    };
}

pub(crate) use listed;
