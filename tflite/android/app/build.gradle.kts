plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.kerasmixer.sample"
    compileSdk = 36 // the newest that this version of the Android Gradle plugin knows

    defaultConfig {
        applicationId = "org.kerasmixer.sample"
        minSdk = 24 // that of LiteRT 2.3.0
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }

    androidResources {
        noCompress += "tflite" // so that the app reads what a model says of itself in place
    }

    // Where LiteRT comes from; each has one file of Kotlin.
    flavorDimensions += "runtime"
    productFlavors {
        create("bundled") {
            dimension = "runtime"
            isDefault = true
        }
        create("play") {
            dimension = "runtime"
            versionNameSuffix = "-play"
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    "bundledImplementation"(libs.litert.runtime)
    "bundledImplementation"(libs.litert.gpu) // without it Accelerator.GPU is an error
    "playImplementation"(libs.play.services.litert)
    implementation(libs.activity)
    implementation(libs.core)
    implementation(libs.lifecycle.livedata)
    implementation(libs.lifecycle.viewmodel)
    androidTestImplementation(libs.test.ext)
    androidTestImplementation(libs.test.runner)
}

if (fileTree("src/main/assets") { include("*.tflite") }.isEmpty) {
    logger.warn("No model is in src/main/assets: run keras-mixer export MODEL --android $rootDir")
}
